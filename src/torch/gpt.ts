// GPT in Python, with nanoGPT's names.
import type { GPT } from '../models';
import { call, type Definitions } from './python';

const ATTENTION = `
class CausalSelfAttention(nn.Module):
    def __init__(self, width, heads, dropout, bias):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x):
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.dropout if self.training else 0.0)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).flatten(2)))
`;

const MLP = `
class MLP(nn.Module):
    def __init__(self, width, dropout, bias, approximate):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.approximate = approximate

    def forward(self, x):
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate=self.approximate)))
`;

const BLOCK = `
class Block(nn.Module):
    def __init__(self, width, heads, dropout, bias, approximate):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=bias)
        self.attn = CausalSelfAttention(width, heads, dropout, bias)
        self.ln_2 = nn.LayerNorm(width, bias=bias)
        self.mlp = MLP(width, dropout, bias, approximate)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))
`;

const NETWORK = `
class GPT(nn.Module):
    """A decoder that predicts the next token (Radford et al. 2019): tokens [N, T] to logits [N, T, vocab_size]."""

    def __init__(self, vocab_size, block_size, layers, heads, width, dropout=0.0, bias=True, approximate="none"):
        super().__init__()
        self.block_size = block_size
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocab_size, width),
            "wpe": nn.Embedding(block_size, width),
            "drop": nn.Dropout(dropout),
            "h": nn.ModuleList([Block(width, heads, dropout, bias, approximate) for _ in range(layers)]),
            "ln_f": nn.LayerNorm(width, bias=bias),
        })
        self.lm_head = nn.Linear(width, vocab_size, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight

    def forward(self, tokens):
        parts = self.transformer
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = parts["drop"](parts["wte"](tokens) + parts["wpe"](positions))
        for block in parts["h"]:
            x = block(x)
        return self.lm_head(parts["ln_f"](x))

    @torch.no_grad()
    def generate(self, tokens, count, temperature=1.0, top_k=None):
        """Goes on from tokens [N, T], each drawn from softmax(logits / temperature) of the top_k likeliest."""
        for _ in range(count):
            logits = self(tokens[:, -self.block_size :])[:, -1] / temperature
            if top_k:
                logits[logits < logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]] = -torch.inf
            tokens = torch.cat([tokens, torch.multinomial(logits.softmax(-1), 1)], 1)
        return tokens
`;

/** The call that makes the network. */
export function gpt({ config }: GPT, definitions: Definitions): string {
  for (const text of [ATTENTION, MLP, BLOCK, NETWORK]) definitions.add(text);
  const { vocabSize, blockSize, nLayer, nHead, nEmbd, dropout, bias, approximate } = config;
  return call('GPT', [vocabSize, blockSize, nLayer, nHead, nEmbd], { dropout, bias, approximate });
}
