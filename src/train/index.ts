// Training: the Trainer, evaluation, weights in safetensors files.
export type { Batch, BatchOptions, BatchSource } from '../data/batches';
export type { StoredTensor } from '../formats/safetensors';
export { parseSafetensors, serializeSafetensors } from '../formats/safetensors';
export { fromStored, loadWeights, toStored } from '../nn/stored';
export type { Checkpoint, Json, JsonObject } from './checkpoint';
export { NonFiniteEvaluationError, NonFiniteLossError } from './diagnose';
export type { Evaluation, EvaluationOptions, OwnEvaluationOptions } from './evaluate';
export { evaluate } from './evaluate';
export type { HookState, TrainerHook, TrainerRun } from './hooks';
export type { Loader } from './loader';
export type { EpochLine, MetricsLine, ProbeLine, StageLine, StepLine, SummaryLine } from './metrics';
export type { OwnTrainerOptions, RunStore, StepReport, TrainerOptions } from './options';
export type { RunSummary } from './progress';
export { averageWeights, scheduleSteps } from './recipe-hooks';
export type { Classifier, LossFunction, Step } from './task';
export { Trainer } from './trainer';
