// The programs of the command `dawnfield`, its help, and what shells need to complete it.
import { spawn } from 'node:child_process';
import { SetupError } from './say.mjs';

/** @type {Record<string, string>} */
export const COMMANDS = {
  doctor:
    'which adapter there is, why it was chosen, what it offers, how fast it is; installs a software driver where none is',
  'cifar-train': 'trains residual networks, vanilla and mean-field, on CIFAR or synthetic images',
  'table-1': 'the experiments of the mean-field paper, with their figures',
  sweep: 'trains networks over a grid of options, or at random points of it',
  worker: 'trains runs that table-1 or sweep has put into a queue, on any number of machines',
  evaluate: 'the test error of any weights',
  predict: 'what a trained network sees in images',
  bench: 'how fast kernels and training steps are',
  'mean-field-lab': 'studies of trained networks: lesions, expansions, transfers between depths',
  'feature-flow-lab': 'experiments with feature flows: distances, Theorems 1 and 2, coordinates',
  gpt: 'trains a GPT on the characters of a text, which then writes',
  'fine-tune': "trains the last layers of torchvision's ResNets on a folder of images",
  export: 'takes a run to PyTorch or ONNX',
  import: 'brings back a run that PyTorch went on with',
  browser: 'serves the page that trains in a browser',
};

/** @type {Record<string, string>} */
const OTHERS = {
  run: 'runs a program of yours on the driver that doctor found: dawnfield run FILE [arguments]',
  completion: 'prints completions for a shell: dawnfield completion bash|zsh|fish',
};

/** @param {string} version */
export function help(version) {
  const rows = Object.entries({ ...COMMANDS, ...OTHERS }).map(([name, what]) => `  ${name.padEnd(17)} ${what}\n`);
  return (
    `Usage: dawnfield PROGRAM [options]\n\nDawnfield ${version}: deep learning on WebGPU.\n\n${rows.join('')}\n` +
    'Options: --help shows this, and after a program its own options; --version. Most programs take --json:\n' +
    'one JSON object a line on stdout and nothing else. Set-up and progress go to stderr.\n'
  );
}

/** Words that may follow a program: its options and the names of its parts. @typedef {Record<string, string[]>} Words */

const shells = { bash, zsh, fish };

/**
 * The script that completes `dawnfield` in a shell. `fileOf` finds a program.
 * @param {string | undefined} shell
 * @param {(program: string) => Promise<string | null>} fileOf
 */
export async function completion(shell, fileOf) {
  const write = shells[/** @type {keyof typeof shells} */ (shell)];
  if (!write) throw new SetupError(`completion needs the name of a shell: ${Object.keys(shells).join(', ')}`);
  /** @type {Words} */
  const words = {};
  for (const name of Object.keys(COMMANDS)) {
    const file = await fileOf(name);
    words[name] = file ? await wordsOf(file) : [];
  }
  return write(words);
}

/**
 * A program that is asked for its words prints them and ends (examples/shared/options.ts).
 * @param {string} file
 * @returns {Promise<string[]>}
 */
function wordsOf(file) {
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, DAWNFIELD_WORDS: '1' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more) => (text += more));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code === 0 ? text.split('\n').filter(Boolean) : []));
  });
}

const names = [...Object.keys(COMMANDS), ...Object.keys(OTHERS)].join(' ');

/** @param {Words} words */
function bash(words) {
  const cases = Object.entries(words).map(([name, all]) => `    ${name}) words="${all.join(' ')}" ;;\n`);
  return `# Completion of dawnfield for bash: dawnfield completion bash >> ~/.bashrc
_dawnfield() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} --help --version" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join('')}    completion) words="${Object.keys(shells).join(' ')}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _dawnfield dawnfield
`;
}

/** @param {Words} words */
function zsh(words) {
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''").replaceAll(':', '\\:')}'`;
  const about = Object.entries({ ...COMMANDS, ...OTHERS }).map(
    ([name, what]) => `    ${quoted(name)}:${quoted(what)}\n`,
  );
  const cases = Object.entries(words).map(([name, all]) => `    ${name}) compadd -- ${all.join(' ')} ;;\n`);
  return `#compdef dawnfield
# Completion of dawnfield for zsh: dawnfield completion zsh > a folder of $fpath, as _dawnfield
_dawnfield() {
  local -a programs
  programs=(
${about.join('')}  )
  if (( CURRENT == 2 )); then _describe 'program' programs; return; fi
  case $words[2] in
${cases.join('')}    completion) compadd -- ${Object.keys(shells).join(' ')} ;;
  esac
  _files
}
compdef _dawnfield dawnfield
`;
}

/** @param {Words} words */
function fish(words) {
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", "\\'")}'`;
  const first = 'not __fish_seen_subcommand_from';
  const programs = Object.entries({ ...COMMANDS, ...OTHERS }).map(
    ([name, what]) => `complete -c dawnfield -f -n ${quoted(`${first} ${names}`)} -a ${name} -d ${quoted(what)}\n`,
  );
  const options = Object.entries(words).map(
    ([name, all]) =>
      `complete -c dawnfield -n ${quoted(`__fish_seen_subcommand_from ${name}`)} -a ${quoted(all.join(' '))}\n`,
  );
  return `# Completion of dawnfield for fish: dawnfield completion fish > ~/.config/fish/completions/dawnfield.fish\n${programs.join('')}${options.join('')}complete -c dawnfield -f -n '__fish_seen_subcommand_from completion' -a '${Object.keys(shells).join(' ')}'\n`;
}
