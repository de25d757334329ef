// Names of models on command lines: refused before anything is loaded.
import { checkModelName } from '../../src/models/catalog';

export function modelName(text: string): string {
  checkModelName(text);
  return text;
}
