// Training: the Trainer, evaluation, weights in safetensors files.
export type { Batch, BatchOptions, BatchSource } from '../data/batches';
export type { StoredTensor } from '../formats/safetensors';
export { parseSafetensors, serializeSafetensors } from '../formats/safetensors';
export type { Checkpoint } from './checkpoint';
export { NonFiniteEvaluationError, NonFiniteLossError } from './diagnose';
export type { Classifier, Evaluation, EvaluationOptions, LossFunction } from './evaluate';
export { evaluate } from './evaluate';
export type { EpochLine, MetricsLine, StageLine, StepLine, SummaryLine } from './metrics';
export { fromStored, loadWeights, toStored } from './state';
export type { RunStore, RunSummary, StepReport, TrainerOptions } from './trainer';
export { Trainer } from './trainer';
