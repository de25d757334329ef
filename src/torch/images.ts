// Networks for images in Python: U-Net, and those with torchvision's names.
import { at } from '../../shaders/checked';
import type { ImageResNet, UNet, VisionTransformer } from '../models';
import { Conv2d } from '../nn/conv';
import { CONV } from './blocks';
import { normWithReLU } from './layers';
import { call, type Definitions, Text } from './python';

const UNET = `
def twice(channels, out_channels):
    """Two 3x3 convolutions, each with a batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
        BatchNorm2dReLU(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        BatchNorm2dReLU(out_channels),
    )
`;

const UNET_NETWORK = `
class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015): [N, in_channels, H, W] to [N, out_channels, H, W]."""

    def __init__(self, in_channels, out_channels, channels):
        super().__init__()
        finer, coarser = channels[:-1], channels[1:]
        self.down = nn.ModuleList([twice(a, b) for a, b in zip((in_channels, *finer), channels)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in zip(finer, coarser)])
        self.join = nn.ModuleList([twice(2 * a, a) for a in finer])
        self.output = nn.Conv2d(channels[0], out_channels, 1)

    def forward(self, x):
        maps = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(len(self.up))):
            x = self.join[i](torch.cat([maps[i], self.up[i](x)], 1))
        return self.output(x)
`;

export function unet(model: UNet, definitions: Definitions): string {
  for (const text of [normWithReLU('BatchNorm2d'), UNET, UNET_NETWORK]) definitions.add(text);
  const convs = model.down.map((block) => block.at(0)).filter((layer) => layer instanceof Conv2d);
  const channels = convs.map(({ outChannels }) => outChannels);
  return call('UNet', [at(convs, 0).inChannels, model.output.outChannels, channels]);
}

const BASIC = `
class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and a shortcut."""

    expansion = 1

    def __init__(self, channels, planes, stride, downsample, groups, width_per_group):
        super().__init__()
        self.conv1 = conv(channels, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))
`;

const BOTTLENECK = `
class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 with the stride, 1x1, and a shortcut."""

    expansion = 4

    def __init__(self, channels, planes, stride, downsample, groups, width_per_group):
        super().__init__()
        width = planes * width_per_group // 64 * groups
        self.conv1 = conv(channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, 4 * planes, 1)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = downsample

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))
`;

const RESNET = `
class ResNet(nn.Module):
    """torchvision's ResNet (He et al. 2015): [N, in_channels, H, W] to logits [N, classes]."""

    def __init__(self, block, layers, classes, in_channels=3, width=64, groups=1, width_per_group=64):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for stage, count in enumerate(layers):
            blocks, planes = [], width * 2**stage
            for i in range(count):
                stride, out_channels = 2 if stage and i == 0 else 1, planes * block.expansion
                downsample = None
                if stride != 1 or channels != out_channels:
                    downsample = nn.Sequential(conv(channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))
                blocks.append(block(channels, planes, stride, downsample, groups, width_per_group))
                channels = out_channels
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))
`;

export function resnet(model: ImageResNet, definitions: Definitions): string {
  const { block, layers, inChannels, width, groups, widthPerGroup } = model.options;
  for (const text of [CONV, block === 'basic' ? BASIC : BOTTLENECK, RESNET]) definitions.add(text);
  const kind = new Text(block === 'basic' ? 'BasicBlock' : 'Bottleneck');
  return call('ResNet', [kind, layers, model.fc.outFeatures], { inChannels, width, groups, widthPerGroup });
}

const ENCODER_BLOCK = `
class EncoderBlock(nn.Module):
    """x + attention(norm(x)), then the same with two linear layers."""

    def __init__(self, heads, width, mlp_width, dropout, attention_dropout):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, dropout=attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_width), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_width, width), nn.Dropout(dropout)
        )

    def forward(self, x):
        seen = self.ln_1(x)
        x = x + self.dropout(self.self_attention(seen, seen, seen, need_weights=False)[0])
        return x + self.mlp(self.ln_2(x))
`;

const ENCODER = `
class Encoder(nn.Module):
    """Blocks one after the other, between the positions of the tokens and a norm."""

    def __init__(self, tokens, layers, heads, width, mlp_width, dropout, attention_dropout):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(1, tokens, width))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleDict({
            f"encoder_layer_{i}": EncoderBlock(heads, width, mlp_width, dropout, attention_dropout) for i in range(layers)
        })
        self.ln = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        x = self.dropout(x + self.pos_embedding)
        for layer in self.layers.values():
            x = layer(x)
        return self.ln(x)
`;

const VIT = `
class VisionTransformer(nn.Module):
    """torchvision's VisionTransformer (Dosovitskiy et al. 2021): [N, in_channels, image_size, image_size] to logits [N, classes]."""

    def __init__(self, image_size, patch_size, layers, heads, width, mlp_width, classes, in_channels=3, dropout=0.0, attention_dropout=0.0):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.conv_proj = nn.Conv2d(in_channels, width, patch_size, patch_size)
        tokens = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(tokens, layers, heads, width, mlp_width, dropout, attention_dropout)
        self.heads = nn.ModuleDict({"head": nn.Linear(width, classes)})

    def forward(self, x):
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches], 1)
        return self.heads["head"](self.encoder(tokens)[:, 0])
`;

export function vit(model: VisionTransformer, definitions: Definitions): string {
  for (const text of [ENCODER_BLOCK, ENCODER, VIT]) definitions.add(text);
  const { imageSize, patchSize, numLayers, numHeads, hiddenDim, mlpDim, ...o } = model.options;
  const { inChannels, dropout, attentionDropout } = o;
  return call(
    'VisionTransformer',
    [imageSize, patchSize, numLayers, numHeads, hiddenDim, mlpDim, model.head.outFeatures],
    { inChannels, dropout, attentionDropout },
  );
}
