// Modules whose fields have PyTorch's names in camel case: `outProj` is `out_proj` in state dicts, paths and messages.
import { type AnyModule, Module } from './module';
import type { Parameter, State } from './parameter';

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A module that is spelled as in PyTorch wherever its parts are named. */
export abstract class Spelled<In, Out> extends Module<In, Out> {
  override *children(): Iterable<[string, AnyModule]> {
    for (const [name, child] of super.children()) yield [snake(name), child];
  }

  override *ownTensors(): Iterable<[string, Parameter | State]> {
    for (const [name, tensor] of super.ownTensors()) yield [snake(name), tensor];
  }
}
