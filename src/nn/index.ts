// nn: modules, layers, containers, initial values.
export { Module } from './module';
export type { ForwardHook, LoadReport, StateDict } from './module';
export { Parameter, State } from './parameter';
export { ModuleList, Sequential } from './containers';
export { Linear } from './linear';
export { Conv2d } from './conv';
export type { Conv2dLayerOptions } from './conv';
export { BatchNorm2d } from './norm';
export type { BatchNormLayerOptions } from './norm';
export * from './layers';
export * as init from './init';
