// Half precision of ../shared/torch-breadth: programs of float16, casts bit for bit, PyTorch's lists of autocast and its result types.
import { halfBits } from '../../../shaders/half';
import { autocast } from '../../../src/autograd/autocast';
import { autocastRule } from '../../../src/autograd/autocast-rules';
import { device } from '../../../src/gpu';
import { add, cast, div, lt, mul } from '../../../src/ops/elementwise';
import { matmul } from '../../../src/ops/matmul';
import { tensor } from '../../../src/tensor/create';
import type { DType } from '../../../src/tensor/dtype';
import type { Tensor } from '../../../src/tensor/tensor';
import { type Case, camel, load, Missing, type Stored } from './case';
import { runProgram } from './program';

function requireHalves(): void {
  if (!device().features.has('shader-f16')) throw new Missing('float16 (this adapter has no shader-f16)');
}

/** The problem with a program of float16, or null. */
export async function runHalf(c: Case): Promise<string | null> {
  requireHalves();
  return runProgram(c);
}

/** The problem with a conversion, or null: every bit but for NaN, which has many encodings. */
export async function runCast(c: Case): Promise<string | null> {
  requireHalves();
  const x = load(c.inputs.x);
  const got = cast(x, c.steps[0].attrs.to as DType);
  const want = c.expect.y as Stored & { bits?: number[] };
  if (got.dtype !== want.dtype) return `${got.dtype}, expected ${want.dtype}`;
  const data = await got.data();
  for (const [i, value] of want.data.entries()) {
    const expected = Number(value);
    const wrong = want.bits
      ? !Number.isNaN(expected) && halfBits(data[i]) !== want.bits[i]
      : !Object.is(data[i], expected);
    if (wrong || (Number.isNaN(expected) && !Number.isNaN(data[i]))) return `y[${i}] is ${data[i]}, expected ${value}`;
  }
  return null;
}

/** The problem with a table, or null. */
export async function runTable(c: Case): Promise<string | null> {
  requireHalves();
  return c.group === 'autocast' ? autocastTable(c.expect) : promotionTable(c.expect.rows);
}

const OURS: Record<string, string> = { LSTMCell: 'lstmCell', GRUCell: 'gruCell', RNNCell: 'rnnTanhCell' };

function autocastTable(expect: Record<string, string[]>): string | null {
  for (const [rule, names] of Object.entries(expect))
    for (const name of names) {
      const got = autocastRule(OURS[name] ?? camel(name.replace(/^linalg\./, ''))) ?? 'unlisted';
      if (got !== rule) return `${name} is ${got}, expected ${rule}`;
    }
  const x = tensor([[1, 2]], { dtype: 'float32' });
  return autocast(() => matmul(x, x.transpose()).dtype) === 'float16' ? null : 'matmul does not run in float16';
}

interface Row {
  a: string;
  b: string;
  op: string;
  result: string;
}

const functions = { add, mul, div, lt } as Record<string, (a: Tensor, b: Tensor) => Tensor>;
const NUMBERS: Record<string, number> = { int: 2, float: 2.5, bool: 1 };

function operand(text: string): Tensor {
  if (text in NUMBERS) return NUMBERS[text] as never;
  const [dtype, kind] = text.split('-') as [DType, string];
  return tensor([1, 1].slice(0, kind === 'zero' ? 1 : 2), { dtype, shape: kind === 'zero' ? [] : [2] });
}

function promotionTable(rows: readonly Row[]): string | null {
  for (const { a, b, op, result } of rows) {
    const run = functions[op];
    if (!run) throw new Missing(`torch.${op} of types`);
    const got = run(operand(a), operand(b)).dtype;
    // Integers are 32 bits wide here.
    if (got !== result.replace('int64', 'int32')) return `${op} of ${a} and ${b} is ${got}, expected ${result}`;
  }
  return null;
}
