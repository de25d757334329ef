// The classes in Python that ResNets for small images may be made of. Names of fields are those of state dicts, ours and PyTorch's alike.

export const CONV = `
def conv(channels, out_channels, kernel, stride=1, groups=1):
    return nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
`;

const BRANCH = `
class Branch(nn.Module):
    """What a pre-activation block adds: f(x) = conv2(relu(bn2(conv1(relu(bn1(x))))))."""

    def __init__(self, channels, inner, out_channels, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = conv(channels, inner, 3, stride)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = conv(inner, out_channels, 3)

    def forward(self, x):
        return self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))
`;

const BOTTLENECK = `
class Branch(nn.Module):
    """What a pre-activation bottleneck adds: convolutions 1x1, 3x3 (in groups, of ResNeXt), 1x1, each after a norm and a ReLU."""

    def __init__(self, channels, inner, out_channels, stride=1, groups=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = conv(channels, inner, 1)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = conv(inner, inner, 3, stride, groups)
        self.bn3 = nn.BatchNorm2d(inner)
        self.conv3 = conv(inner, out_channels, 1)

    def forward(self, x):
        x = self.conv1(F.relu(self.bn1(x)))
        x = self.conv2(F.relu(self.bn2(x)))
        return self.conv3(F.relu(self.bn3(x)))
`;

const ZERO_PAD = `
class ZeroPadShortcut(nn.Module):
    """Every stride-th pixel, and channels of zeros, half of them in front and half behind."""

    def __init__(self, channels, out_channels, stride):
        super().__init__()
        self.stride, self.extra = stride, out_channels - channels

    def forward(self, x):
        front = self.extra // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, self.extra - front))
`;

const CONV_SHORTCUT = `
class ConvShortcut(nn.Module):
    """A 1x1 convolution of x, or with its own batch norm of relu(bn(x))."""

    def __init__(self, channels, out_channels, stride, own_norm):
        super().__init__()
        if own_norm:
            self.bn = nn.BatchNorm2d(channels)
        self.own_norm = own_norm
        self.conv = conv(channels, out_channels, 1, stride)

    def forward(self, x):
        return self.conv(F.relu(self.bn(x)) if self.own_norm else x)
`;

const TRANSITION = `
class Transition(Branch):
    """A block that changes the shape: shortcut(x) + f(x)."""

    def __init__(self, shortcut, *sizes, **options):
        super().__init__(*sizes, **options)
        self.shortcut = shortcut

    def forward(self, x):
        return self.shortcut(x) + super().forward(x)
`;

const POST_BLOCK = `
class Block(nn.Module):
    """The original block: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))."""

    def __init__(self, channels, out_channels, stride=1, shortcut=None):
        super().__init__()
        self.conv1 = conv(channels, out_channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, out_channels, 3)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))
`;

const PARTICLES = `
class Particles(nn.Module):
    """The learned times of blocks: x <- x + (tau_l - tau_(l-1)) f_l(x), tau_(-1) = 0 (Lu et al. 2020, eq. 4.1)."""

    def __init__(self, count, trained, clamp, sort, statistics_move):
        super().__init__()
        self.tau = nn.Parameter(torch.arange(1.0, count + 1), requires_grad=trained)
        # The particle at each position, by its number at the start.
        self.register_buffer("ids", torch.arange(count), persistent=False)
        self.clamp, self.sorts, self.statistics_move = clamp, sort, statistics_move
        self.swaps = 0

    def forward(self, x, branches):
        before = 0.0
        for time, branch in zip(self.tau, branches):
            x = x + (time - before) * branch(x)
            before = time
        return x

    @torch.no_grad()
    def sort(self, branches, optimizer=None):
        """Sorts the particles by time, ascending and stable, after every update. With a particle move its weights, its time, its running
        statistics and what the optimizer keeps of them. Every process of a distributed run has the same times, and so the same order."""
        if self.clamp:
            self.tau.clamp_(min=0)
        if not self.sorts:
            return
        order = torch.sort(self.tau, stable=True).indices
        moved = order.tolist()
        if moved == sorted(moved):
            return
        self.swaps += sum(a > b for i, a in enumerate(moved) for b in moved[i + 1 :])
        rows = [list(same) for same in zip(*(branch.parameters() for branch in branches))]
        rows += kept_of(rows, optimizer)
        if self.statistics_move:
            rows += [list(same) for same in zip(*(branch.buffers() for branch in branches))]
        for row in rows:
            old = [x.clone() for x in row]
            for x, source in zip(row, moved):
                x.copy_(old[source])
        for x in [self.tau, self.ids] + [x[0] for x in kept_of([[self.tau]], optimizer)]:
            x.copy_(x[order])


def kept_of(rows, optimizer):
    """What the optimizer keeps for rows of parameters, in rows."""
    if optimizer is None:
        return []
    states = [[optimizer.state.get(x, {}) for x in row] for row in rows]
    names = {name for row in states for state in row for name in state}
    kept = [[state.get(name) for state in row] for row in states for name in sorted(names)]
    return [row for row in kept if all(torch.is_tensor(x) and x.ndim > 0 for x in row)]
`;

const UNIT_CONV = `
class UnitConv(nn.Module):
    """conv(x) / m, where m are the source units, in the mean-field parametrisation; a plain convolution in the standard one."""

    def __init__(self, channels, out_channels, stride, mean_field):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_channels, channels, 3, 3))
        self.stride = stride
        self.multiplier = 1 / (9 * channels) if mean_field else 1.0

    def forward(self, x):
        return F.conv2d(x, self.weight * self.multiplier, stride=self.stride, padding=1)
`;

/** In the order in which they need each other. */
export const CLASSES = {
  conv: CONV,
  branch: BRANCH,
  bottleneck: BOTTLENECK,
  zeroPad: ZERO_PAD,
  convShortcut: CONV_SHORTCUT,
  transition: TRANSITION,
  postBlock: POST_BLOCK,
  particles: PARTICLES,
  unitConv: UNIT_CONV,
};

/** A class that a network may need. */
export type Part = keyof typeof CLASSES;
