// Brings a run back that PyTorch went on with: `npm run import -- FOLDER runs/NAME`.
import { commandOf, createProgram, printJson, runProgram } from '../shared/options';
import { quote } from '../shared/shell';
import { importFolder } from '../shared/torch-folder';

const program = createProgram('import', "Makes a run of a folder that 'export --torch' wrote and PyTorch went on with.")
  .argument('<folder>', "written by 'export --torch'")
  .argument('<run>', 'folder of the run that is made');

await runProgram<{ json?: boolean }>(program, async ({ json }, [folder = '', run = '']) => {
  const { step, epoch } = importFolder(folder, run);
  if (json) printJson({ folder, run, step, epoch });
  else
    console.log(
      `${run}: at step ${step}. Go on with:\n  ${commandOf(epoch === null ? 'gpt' : 'cifar-train')} --resume ${quote(run)}`,
    );
});
