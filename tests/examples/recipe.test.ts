// The recipe that fills in what the command line leaves open, and what a resumed run may change of it.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { changeRecipe, createOptions, type Given, leavesSizeOpen } from '../../examples/cifar-train/options';
import { checkRecipe, completeRecipe } from '../../examples/shared/recipe';
import { gridOf } from '../../examples/table-1/options';

const one = { seeds: 1, firstSeed: 0, out: 'x', estimate: false };
const parse = (line: string): Given => {
  const program = createOptions();
  program.parse(['node', 'cifar-train', ...line.split(' ').filter(Boolean)]);
  const typed = Object.entries(program.opts()).filter(([key]) => program.getOptionValueSource(key) === 'cli');
  return Object.fromEntries(typed);
};

test("without options the paper's recipe", () => {
  const recipe = completeRecipe(parse(''));
  const { model, dataset, epochs, batch, lr, momentum, weightDecay, milestones, gamma } = recipe;
  assert.equal([model, dataset, epochs, batch], ['meanfield-resnet20', 'cifar10', 160, 128]);
  assert.equal([lr, momentum, weightDecay, gamma], [0.1, 0.9, 1e-4, 0.1]);
  assert.equal(milestones, [80, 120]);
  assert.equal([recipe.tauLr, recipe.tauMomentum, recipe.tauWeightDecay], [0.1, 0.9, 1e-4]);
  assert.equal([recipe.augment, recipe.freezeTau, recipe.clampTau], [true, false, false]);
});

test('ResNeXt and CIFAR-100 train for longer, ResNeXt with more weight decay', () => {
  const { epochs, weightDecay, tauWeightDecay } = completeRecipe(parse('--model resnext29-8x64d --dataset cifar100'));
  assert.equal([epochs, weightDecay, tauWeightDecay], [300, 5e-4, 5e-4]);
});

test('feature-flow networks have no weight decay, but C and λ; the others have neither', () => {
  const { lr, momentum, weightDecay, width, readout, lambda } = completeRecipe(parse('--model feature-flow-resnet20'));
  assert.equal([lr, momentum, weightDecay, width, readout, lambda], [0.1, 0.9, 0, 1, 20, 1e-4]);
  assert.is(completeRecipe(parse('--model feature-flow-resnet20 --lambda 0 --width 2')).lambda, 0);
  assert.throws(() => completeRecipe(parse('--model feature-flow-resnet20 --weight-decay 1e-4')), /descent has none/);
  assert.throws(
    () => completeRecipe(parse('--readout 2')),
    /--readout belongs to feature-flow networks, not to meanfield-resnet20/,
  );
});

test('every network has a width and a size of images; particles may stay unsorted, or be shuffled', () => {
  const plain = completeRecipe(parse(''));
  for (const name of ['width', 'size', 'sort', 'shuffle']) assert.not(name in plain, `${name}: as recipes ever were`);
  const small = completeRecipe(parse('--width 0.5 --size 16 --no-sort'));
  assert.equal([small.width, small.size, small.sort], [0.5, 16, false]);
  assert.is(completeRecipe(parse('--shuffle')).shuffle, true);
  assert.throws(() => completeRecipe(parse('--shuffle --no-sort')), /does not go with --no-sort/);
  assert.is(completeRecipe({ lr: 0.2, tauRate: 10 }).tauLr, 2);
  const cells = gridOf({ rows: ['20'], arms: ['meanfield-fraction-unsorted', 'meanfield-fast-100'], ...one, size: 16 });
  const [unsorted, fast] = cells.map(({ wanted }) => completeRecipe(wanted));
  assert.equal([unsorted.sort, unsorted.tauTimes, unsorted.size], [false, 'fraction', 16]);
  assert.equal([fast.sort, fast.tauLr], [undefined, 10]);
});

test('milestones follow the epochs, the times follow the weights, unless they are given', () => {
  assert.equal(completeRecipe(parse('--dataset cifar100')).milestones, [150, 225]);
  assert.equal(completeRecipe(parse('--epochs 20')).milestones, [10, 15]);
  assert.equal(completeRecipe(parse('--epochs 20 --milestones 5,18')).milestones, [5, 18]);
  const recipe = completeRecipe(
    parse('--lr 0.2 --weight-decay 5e-4 --tau-momentum 0 --no-tau-weight-decay --no-augment'),
  );
  assert.equal([recipe.tauLr, recipe.tauMomentum, recipe.tauWeightDecay, recipe.augment], [0.2, 0, 0, false]);
  assert.is(completeRecipe(parse('--tau-weight-decay 0.5')).tauWeightDecay, 0.5);
  assert.throws(() => completeRecipe(parse('--milestones 9,3')), /ascending order/);
});

test('a resumed run may become longer, and nothing else', () => {
  const saved = JSON.parse(JSON.stringify(completeRecipe(parse('--epochs 4 --no-tau-weight-decay --subset 100'))));
  const longer = changeRecipe(saved, parse('--resume --epochs 6 --steps 9 --eval-every 2 --json --data x'));
  assert.equal(longer, { ...saved, epochs: 6, steps: 9, evalEvery: 2 });
  assert.equal(longer.milestones, [2, 3], 'those of the run');
  assert.equal(changeRecipe(saved, parse('--subset 100 --no-tau-weight-decay')), saved, 'what agrees may be repeated');
  const refusal =
    /cannot change these options:\n {2}batch: the run has 128, given is 64\n {2}clampTau: the run has false/;
  assert.throws(() => changeRecipe(saved, parse('--batch 64 --clamp-tau --epochs 9')), refusal);
});

test('newer recipes: images mixed and transformed, averaged weights, one cycle', () => {
  const plain = completeRecipe(parse(''));
  for (const name of ['mixup', 'cutmix', 'randAugment', 'ema', 'schedule']) assert.not(name in plain, name);
  const given = '--mixup 0.2 --cutmix 1 --rand-augment 2,9 --ema 0.999 --schedule one-cycle';
  const recipe = completeRecipe(parse(given));
  const { mixup, cutmix, randAugment, ema, schedule } = recipe;
  assert.equal([mixup, cutmix, randAugment, ema, schedule], [0.2, 1, [2, 9], 0.999, 'one-cycle']);
  const saved = JSON.parse(JSON.stringify(recipe));
  assert.equal(checkRecipe(saved, 'file'), saved);
  assert.equal(changeRecipe(saved, parse(`${given} --resume`)), saved);
  assert.throws(
    () => changeRecipe(saved, parse('--rand-augment 2,8')),
    /randAugment: the run has \[2,9\], given is \[2,8\]/,
  );
  assert.throws(
    () => changeRecipe(saved, parse('--epochs 200')),
    /--epochs: the one cycle of this run was laid out over 160/,
  );
  assert.throws(() => changeRecipe(saved, parse('--steps 200')), /--steps: the one cycle/);
  assert.equal(changeRecipe(saved, parse('--epochs 160')), saved);
  assert.throws(() => completeRecipe(parse('--schedule one-cycle --momentum 0.8')), /leave out --momentum/);
  assert.throws(() => completeRecipe(parse('--schedule one-cycle --gamma 0.5')), /one-cycle has neither --milestones/);
  for (const option of ['--mixup 1', '--cutmix 1', '--rand-augment 1,1', '--cutout 3'])
    assert.throws(
      () => completeRecipe(parse(`${option} --no-augment`)),
      new RegExp(`${option.split(' ')[0]} is an augmentation`),
    );
  const broken = (change: object) => () => checkRecipe({ ...saved, ...change }, 'config.json');
  assert.throws(broken({ mixup: 0 }), /options.mixup is 0, it must be a finite number above 0/);
  assert.throws(broken({ randAugment: [2] }), /options.randAugment is \[2\], it must be two whole numbers/);
  assert.throws(broken({ randAugment: [2, 31] }), /magnitude of 0 … 30/);
  assert.throws(broken({ ema: 2 }), /options.ema is 2/);
  assert.throws(broken({ schedule: 'linear' }), /one of cosine, one-cycle/);
});

test('the demonstration is for those who ask for no size', () => {
  for (const line of ['', '--json', '--out x --seed 3']) assert.ok(leavesSizeOpen(parse(line)), line);
  for (const line of ['--epochs 3', '--model resnet20', '--resume', '--dataset cifar10'])
    assert.not(leavesSizeOpen(parse(line)), line);
});

test.run();
