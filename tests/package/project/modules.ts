// Modules of one's own in strict TypeScript: what forward takes and returns is known without a cast.
import assert from 'node:assert/strict';
import { F, init, nn, shutdown, Tensor, zeros } from 'dawnfield';

/** x + f(x), for any block. */
class Residual extends nn.Module {
  constructor(readonly block: nn.Module) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return x.add(this.block.forward(x));
  }
}

/** Several inputs, one of them optional, and several results. */
class Attention extends nn.Module<[query: Tensor, key: Tensor, scale?: number], [mixed: Tensor, weights: Tensor]> {
  override forward(query: Tensor, key: Tensor, scale = 1): [Tensor, Tensor] {
    const weights = F.softmax(query.matmul(key.transpose()).mul(scale), -1);
    return [weights.matmul(key), weights];
  }
}

/** An input that one may leave out: it passes for a module of one input. */
class Shifted extends nn.Module<[x: Tensor, by?: number]> {
  override forward(x: Tensor, by = 1): Tensor {
    return x.add(by);
  }
}

/** Records in, records out. */
class Encoder extends nn.Module<{ ids: Tensor; mask: Tensor }, Record<'mean' | 'last', Tensor>> {
  readonly table = new nn.Embedding(8, 4);

  override forward({ ids, mask }: { ids: Tensor; mask: Tensor }): Record<'mean' | 'last', Tensor> {
    const found = this.table.forward(ids).mul(mask);
    return { mean: found.mean(0), last: found.slice([-1]) };
  }
}

const sizeOf = (model: nn.AnyModule): number => model.parameterCount;

await init();
const blocks: nn.Module[] = [new nn.Linear(4, 4), new Residual(new nn.Tanh()), new Shifted()];
const net = new nn.Sequential(...blocks, new Residual(new nn.Sequential(new nn.Linear(4, 4), new nn.ReLU())));
const x = zeros([3, 4]);
assert.deepEqual(net.at(1).forward(x).shape, [3, 4]);
assert.deepEqual(net.forward(x).shape, [3, 4]);
const [mixed, weights] = new Attention().forward(x, zeros([5, 4]), 0.5);
assert.deepEqual(
  [mixed.shape, weights.shape],
  [
    [3, 4],
    [3, 5],
  ],
);
const encoder = new Encoder();
const { mean } = encoder.forward({ ids: zeros([3], { dtype: 'int32' }), mask: zeros([3, 1]) });
assert.deepEqual(mean.shape, [4]);
assert.equal(sizeOf(encoder) + sizeOf(net), 32 + 40);
const remove = new Attention().onForward((_, [query], [first]) => {
  assert.ok(query instanceof Tensor && first instanceof Tensor);
});
remove();
for (const child of net) assert.deepEqual(child.forward(x).shape, [3, 4]);
shutdown();
