// featureFlow: discrete Res-Nets of Fang et al. 2020, their losses, scaled gradient descent and initialisation, and their limit, the neural feature flow.

export type { Activation } from './activation';
export type { Regressable, RegressionLayer, RegressionReport, RegressOptions } from './algorithm-2';
export { regress } from './algorithm-2';
export type { FeatureFlowOptions, RunOptions } from './flow';
export { FeatureFlow } from './flow';
export type { FlowStart, FlowStartOptions } from './flow-start';
export { flowStart, withPassengers } from './flow-start';
export * from './loss';
export type { FeatureFlowNetOptions, Layers } from './net';
export { FeatureFlowNet } from './net';
export type { ScaledGradientDescentOptions } from './scaled-gradient-descent';
export { ScaledGradientDescent, ScaledParameter } from './scaled-gradient-descent';
