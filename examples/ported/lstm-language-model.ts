// A language model of letters, after PyTorch's examples/word_language_model: embedding, LSTM, linear layer, cross-entropy. Backpropagation
// through time is truncated: the state goes on from one stretch of text to the next, without its history.
import { F, nn, optim, type Tensor, tensor } from '../../src/index.node.js';

const TEXT = `It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness,
it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness,
it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing before us.`;

const letters = [...new Set(TEXT)].sort();

export class LetterModel extends nn.Module<
  [letters: Tensor, state: nn.LSTMState | null],
  [logits: Tensor, state: nn.LSTMState]
> {
  readonly embedding: nn.Embedding;
  readonly lstm: nn.LSTM;
  readonly output: nn.Linear;

  constructor(width = 16, hidden = 32, layers = 2) {
    super();
    this.embedding = new nn.Embedding(letters.length, width);
    this.lstm = new nn.LSTM(width, hidden, { numLayers: layers });
    this.output = new nn.Linear(hidden, letters.length);
  }

  override forward(x: Tensor, state: nn.LSTMState | null): [logits: Tensor, state: nn.LSTMState] {
    const [y, after] = this.lstm.forward(this.embedding.forward(x), state);
    return [this.output.forward(y), after];
  }
}

/** The text in as many columns as a batch has rows, letter below letter: [time, batch]. */
function columns(batch: number): Tensor {
  const length = Math.floor(TEXT.length / batch);
  const indices = Int32Array.from(TEXT.slice(0, batch * length), (letter) => letters.indexOf(letter));
  return tensor(indices, { shape: [batch, length] }).transpose();
}

/** Trains for some steps, again and again over the text; gives the losses. */
export async function train({ steps, model = new LetterModel() }: { steps: number; model?: LetterModel }) {
  const [batch, stretch] = [4, 16];
  const data = columns(batch);
  const [length = 0] = data.shape;
  const stretches = Math.floor((length - 1) / stretch);
  const optimizer = new optim.SGD(model.parameters(), { lr: 2 });
  const losses: number[] = [];
  let state: nn.LSTMState | null = null;
  for (let i = 0; i < steps; i++) {
    const from = (i % stretches) * stretch;
    if (from === 0) state = null;
    const x = data.narrow(0, from, stretch);
    const next = data.narrow(0, from + 1, stretch);

    optimizer.zeroGrad();
    const [logits, after] = model.forward(x, state);
    const loss = F.crossEntropy(logits.flatten(0, 1), next.flatten());
    loss.backward();
    optim.clipGradNorm(model.parameters(), 0.25);
    optimizer.step();

    state = [after[0].detach(), after[1].detach()];
    losses.push(await loss.item());
  }
  return losses;
}
