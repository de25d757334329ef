// A model as the text of `model.py`: each module as the call that makes it, and the classes that these calls need. Of modules of one's own the
// constructor is written from their fields, and `forward` is given.
import * as models from '../models';
import * as nn from '../nn';
import type { Tensor } from '../tensor/tensor';
import { gpt } from './gpt';
import { resnet, unet, vit } from './images';
import { layer } from './layers';
import { call, Definitions, moduleList, refused, Text, unknown } from './python';
import { residual } from './residual';

/** A class of modules. */
export type ModuleClass = abstract new (...args: never[]) => nn.AnyModule;
/** Classes of the user's own, each with its methods in Python: `def forward(self, x): …`. */
export type OwnClasses = readonly (readonly [type: ModuleClass, methods: string])[];

/** A class of the user's own, with the fields of all its modules. */
interface Own {
  readonly methods: string;
  /** In how many modules each is. */
  readonly fields: Map<string, { count: number; isBuffer: boolean }>;
  count: number;
}

class Writer {
  readonly definitions = new Definitions();
  readonly own = new Map<unknown, Own>();
  about: string | null = null;

  constructor(own: OwnClasses) {
    for (const [type, methods] of own) {
      if (typeof methods !== 'string' || !/^\s*def \w+\(self\b/.test(methods))
        throw refused(`the Python of ${type?.name} is no method: begin with 'def forward(self, …):'`);
      this.own.set(type, { methods, fields: new Map(), count: 0 });
    }
  }

  /** The call that makes a module. */
  module(module: nn.AnyModule, where: string): string {
    const own = this.own.get(module.constructor);
    if (own) return this.#own(own, module, where);
    const made = layer(module, where, this.definitions) ?? this.#network(module, where);
    if (made) return made;
    const items = () => [...module.children()].map(([name, child]) => this.module(child, under(where, name)));
    if (module.constructor === nn.Sequential) return moduleList(items(), 'nn.Sequential');
    if (module.constructor === nn.ModuleList) return moduleList(items());
    throw unknown(where, module);
  }

  #network(module: nn.AnyModule, where: string): string | null {
    const standard = (name: string, child: nn.AnyModule, type: unknown) => {
      if (child.constructor !== type) throw unknown(under(where, name), child, 'in the place of another layer');
    };
    if (module instanceof models.GPT) return gpt(module, this.definitions);
    if (module instanceof models.UNet) return unet(module, this.definitions);
    if (module instanceof models.ImageResNet) {
      standard('fc', module.fc, nn.Linear);
      return resnet(module, this.definitions);
    }
    if (module instanceof models.VisionTransformer) {
      standard('heads.head', module.head, nn.Linear);
      return vit(module, this.definitions);
    }
    const found = residual(module, this.definitions);
    this.about ??= found?.about ?? null;
    return found?.call ?? null;
  }

  #own(own: Own, module: nn.AnyModule, where: string): string {
    own.count++;
    const values: Record<string, Text> = {};
    const add = (name: string, text: string, isBuffer = false) => {
      if (!/^[a-z]\w*$/i.test(name))
        throw refused(`${under(where, name)} has a name that Python cannot have: rename it`);
      values[name] = new Text(text);
      const known = own.fields.get(name) ?? { count: 0, isBuffer };
      own.fields.set(name, { ...known, count: known.count + 1 });
    };
    for (const [name, value] of Object.entries(module)) if (isPlain(value)) add(name, call('', [value]).slice(1, -1));
    for (const [name, x] of module.ownTensors()) {
      const isBuffer = x instanceof nn.State;
      const zeros = call(
        'torch.zeros',
        [x.shape],
        x.dtype === 'float32' ? {} : { dtype: new Text(`torch.${x.dtype}`) },
      );
      add(name, isBuffer ? zeros : `nn.Parameter(${zeros}${x.requiresGrad ? '' : ', requires_grad=False'})`, isBuffer);
    }
    for (const [name, text] of this.#nested([...module.children()], where)) add(name, text);
    const text = Object.entries(values).map(([name, value]) => `${name}=${value.text}`);
    return `${module.constructor.name}(${text.join(', ')})`;
  }

  /** Modules in lists and dictionaries, whose names have dots, as nn.ModuleList and nn.ModuleDict. */
  #nested(children: readonly [string, nn.AnyModule][], where: string): [string, string][] {
    const groups = new Map<string, [string, nn.AnyModule][]>();
    for (const [name, child] of children) {
      const [first = '', ...rest] = name.split('.');
      groups.set(first, [...(groups.get(first) ?? []), [rest.join('.'), child]]);
    }
    return [...groups].map(([name, group]) => {
      const [only] = group;
      if (only?.[0] === '') return [name, this.module(only[1], under(where, name))];
      const items = this.#nested(group, under(where, name));
      if (items.every(([key], i) => key === String(i))) return [name, moduleList(items.map(([, text]) => text))];
      return [name, `nn.ModuleDict({${items.map(([key, text]) => `${JSON.stringify(key)}: ${text}`).join(', ')}})`];
    });
  }

  /** The classes of the user's own that the model has. */
  defineOwn(): void {
    for (const [type, { methods, fields, count }] of this.own) {
      if (!count) continue;
      const names = [...fields].sort(([, a], [, b]) => b.count - a.count);
      const given = names.map(([name, field]) => (field.count < count ? `${name}=None` : name));
      const set = [...fields].map(([name, { isBuffer }]) =>
        isBuffer ? `self.register_buffer("${name}", ${name})` : `self.${name} = ${name}`,
      );
      this.definitions.add(`
class ${(type as { name: string }).name}(nn.Module):
    def __init__(${['self', ...given].join(', ')}):
        super().__init__()
${set.map((line) => `        ${line}\n`).join('')}
${indented(methods)}
`);
    }
  }
}

const under = (where: string, name: string): string => (where ? `${where}.${name}` : name);

const isPlain = (value: unknown): boolean =>
  ['number', 'string', 'boolean'].includes(typeof value) ||
  (Array.isArray(value) && value.length > 0 && value.every((x) => typeof x === 'number'));

/** Methods in the body of a class. */
function indented(methods: string): string {
  const lines = methods
    .replace(/^\s*\n/, '')
    .trimEnd()
    .split('\n');
  const least = Math.min(...lines.filter((line) => line.trim()).map((line) => /^ */.exec(line)?.[0].length ?? 0));
  return lines.map((line) => (line.trim() ? `    ${line.slice(least)}` : '')).join('\n');
}

/** Lines that tie parameters which have several names. */
function ties(model: nn.AnyModule): string[] {
  const names = new Map<Tensor, string>();
  return [...model.allNames()].flatMap(([name, x]) => {
    const first = names.get(x);
    if (!first) names.set(x, name);
    if (!first || !(x instanceof nn.Parameter)) return [];
    const dot = name.lastIndexOf('.');
    const [owner, field] = [name.slice(0, Math.max(0, dot)), name.slice(dot + 1)];
    return [`model.get_submodule("${owner}").${field} = model.get_parameter("${first}")`];
  });
}

/** The text of `model.py`. Throws InputError that names the module of which there is no form in Python. */
export function torchModel(model: nn.AnyModule, name: string, own: OwnClasses = []): string {
  const writer = new Writer(own);
  const made = writer.module(model, '');
  writer.defineOwn();
  const tied = model instanceof models.GPT ? [] : ties(model);
  const body = tied.length ? [`model = ${made}`, ...tied, 'return model'] : [`return ${made}`];
  const head = `"""${writer.about ? `${name}: ${writer.about}` : name}

Written by Dawnfield. The weights are in weights.safetensors:

    from model import make_model
    from tensors import read_tensors

    model = make_model()
    model.load_state_dict(read_tensors("weights.safetensors")[0])
"""

import torch
import torch.nn.functional as F
from torch import nn
`;
  const make = `\ndef make_model():\n${body.map((line) => `    ${line}\n`).join('')}`;
  return [head, ...writer.definitions.texts, make].join('\n');
}
