// Debian packages into a folder of our own: own package lists, own (empty) status, nothing of the system changes, no root needed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './say.mjs';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const official = 'http://deb.debian.org/debian';

/** Throws where packages cannot be had this way on this machine. */
export function requireApt() {
  if (process.platform !== 'linux') throw new SetupError('this is not Linux');
  for (const tool of ['apt-get', 'dpkg-deb'])
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).error) throw new SetupError(`there is no ${tool}`);
  if (!existsSync(keyring)) throw new SetupError(`this is not Debian (no ${keyring})`);
}

/**
 * The mirrors that apt's source files name for the Debian archive, and the official one last.
 * Security and third-party archives are left out.
 * @param {string[]} texts contents of `.list` (one line a source) and `.sources` (deb822) files
 */
export function mirrors(texts) {
  /** @type {string[]} */
  const found = [];
  for (const text of texts) {
    const lines = text.split('\n').filter((line) => !line.trimStart().startsWith('#'));
    for (const line of lines) {
      const oneLine = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S+\s/.exec(line);
      const field = /^URIs:\s*(.+)$/i.exec(line);
      found.push(...(oneLine ? [oneLine[1]] : (field?.[1].split(/\s+/) ?? [])));
    }
  }
  const debian = found.map((uri) => uri.replace(/\/+$/, '')).filter((uri) => /\/debian(\.list)?$/.test(uri));
  return [...new Set([...debian, official])];
}

function systemMirrors() {
  const parts = '/etc/apt/sources.list.d';
  const files = existsSync(parts) ? readdirSync(parts).filter((name) => /\.(list|sources)$/.test(name)) : [];
  const paths = ['/etc/apt/sources.list', ...files.map((name) => join(parts, name))].filter((path) => existsSync(path));
  return mirrors(paths.map((path) => readFileSync(path, 'utf8')));
}

/**
 * @param {string} tool @param {string[]} args @param {string} [cwd]
 * @returns {string} what it printed
 */
export function sh(tool, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(tool, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status === 0) return stdout;
  throw new SetupError(`${tool} failed: ${(error?.message ?? stderr).trim().split('\n').slice(-2).join(' ')}`);
}

/**
 * Downloads packages of a Debian release (signatures checked by apt) and unpacks them.
 * @param {string} folder unpacked into here
 * @param {{ suites: string[], packages: string[], dependencies: boolean }} what suites: a release, and what is preferred to it, such as its
 * backports; dependencies: with all that the packages need, down to libc
 */
export function unpackDebian(folder, { suites, packages, dependencies }) {
  const work = `${folder}.apt`;
  mkdirSync(folder, { recursive: true });
  try {
    const apt = privateApt(work, suites);
    let names = packages;
    if (dependencies) {
      const plan = apt(['-s', '--no-install-recommends', 'install', ...packages]);
      names = [...plan.matchAll(/^Inst (\S+)/gm)].map((match) => match[1]);
    }
    apt(['download', ...names]);
    const debs = readdirSync(work).filter((name) => name.endsWith('.deb'));
    for (const deb of debs) sh('dpkg-deb', ['-x', deb, folder], work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * apt-get with its state in `work`, with the lists of `suites` loaded from the first mirror that has them.
 * @param {string} work @param {string[]} suites the last is preferred
 */
function privateApt(work, suites) {
  const source = join(work, 'sources.list');
  const status = join(work, 'status');
  for (const part of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, part), { recursive: true });
  writeFileSync(status, '');
  const options = {
    'Dir::State': join(work, 'state'),
    'Dir::State::Lists': join(work, 'state/lists'),
    'Dir::State::status': status,
    'Dir::Cache': join(work, 'cache'),
    'Dir::Etc::sourcelist': source,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Default-Release': suites[suites.length - 1],
    'APT::Sandbox::User': 'root', // the sandbox user may not read a private folder
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
  };
  const flags = ['-q', ...Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`])];
  /** @param {string[]} args */
  const apt = (args) => sh('apt-get', [...flags, ...args], work);
  const candidates = systemMirrors();
  for (const [i, mirror] of candidates.entries()) {
    writeFileSync(source, suites.map((suite) => `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`).join(''));
    try {
      apt(['-o', 'APT::Update::Error-Mode=any', 'update']);
      return apt;
    } catch (error) {
      if (i === candidates.length - 1) throw error;
    }
  }
  return apt;
}
