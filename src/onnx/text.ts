// A graph as text, to read and to compare: inputs, constants, a line a node, outputs.
import type { Attribute, OnnxGraph, ValueInfo } from './format';
import { OPSET } from './format';

const attribute = (value: Attribute): string => {
  if (typeof value === 'number' || typeof value === 'string') return String(value);
  if ('float' in value) return String(value.float);
  return `[${('texts' in value ? value.texts : value).join(', ')}]`;
};

const declared = ({ name, type, dims }: ValueInfo): string =>
  `${name}: ${type} [${dims.map((dim) => dim ?? '?').join(', ')}]`;

/** `conv_0 = Conv(input, weight) kernel_shape=[3, 3]  # stem/conv2d/0` for each node, between inputs and outputs. */
export function textOf(graph: OnnxGraph): string {
  const nodes = graph.nodes.map(({ op, name, inputs, outputs, attributes }) => {
    const options = Object.entries(attributes).map(([key, value]) => ` ${key}=${attribute(value)}`);
    return `${outputs.join(', ')} = ${op}(${inputs.join(', ')})${options.join('')}  # ${name}`;
  });
  return [
    `${graph.name}, opset ${OPSET}`,
    ...graph.inputs.map((value) => `input ${declared(value)}`),
    ...graph.initializers.map(({ name, type, dims }) => `constant ${declared({ name, type, dims })}`),
    ...nodes,
    ...graph.outputs.map((value) => `output ${declared(value)}`),
    '',
  ].join('\n');
}
