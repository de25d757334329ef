// The site that `npm run site` makes: no warning of typedoc, no dead link, a title on each page, a search, nothing that axe-core would change, nothing
// wider than a telephone. Skipped where its packages cannot be had.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { deadLinks, filesOf } from '../../docs/site/links';
import { addressOf, ENTRIES, SECTIONS } from '../../docs/site/pages';
import { serve } from '../../examples/browser/server';
import { isThere, openPage, withBrowser } from '../browser/browsers';
import { accessible } from '../browser/page-driver';
import { root } from '../bundle';
import { hasPackages } from '../packages';

const folder = mkdtempSync(join(tmpdir(), 'dawnfield-site-'));
test.after(() => rmSync(folder, { recursive: true }));

const there = hasPackages('docs/site') && hasPackages('examples/browser');
const built = there ? test : test.skip;
const seen = there && isThere('chromium') ? test : test.skip;

built('builds without a warning of typedoc', () => {
  try {
    const args = ['--import', 'tsx', 'docs/site/main.ts', '--out', folder];
    execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    assert.unreachable(stdout + stderr);
  }
});

built('has the reference, the page that trains, and every document; no dead link; a title on each page', () => {
  for (const path of [
    'index.html',
    'api/modules/dawnfield_nn.html',
    'page/index.html',
    ...ENTRIES.map(({ source }) => addressOf(source)),
  ])
    assert.ok(existsSync(join(folder, path)), path);
  assert.equal(deadLinks(folder), []);
  for (const path of filesOf(folder).filter((name) => name.endsWith('.html')))
    assert.match(readFileSync(path, 'utf8'), /<title>[^<]{3,}<\/title>/, path);
  // A name from a row of a table has its words and is a function.
  const page = readFileSync(join(folder, 'api/functions/dawnfield_functional.lgamma.html'), 'utf8');
  assert.match(page, /Γ\(x\)/);
});

test('a dead link is found', () => {
  const dead = deadLinks(join(root, 'tests/site/dead'));
  assert.equal(dead, ['page.html: absent.html', 'page.html: #nowhere', 'page.html: page.html#gone']);
});

test('a guide has a picture, a program, and links onwards', () => {
  for (const { source } of SECTIONS[0]?.entries ?? []) {
    const text = readFileSync(join(root, source), 'utf8');
    assert.match(text.slice(0, 3000), /!\[[^\]]{20,}\]\(figures\//, `a picture in ${source}`);
    assert.match(text, /^```ts$/m, `a program in ${source}`);
    assert.match(text, /^## Read on$/m, `links in ${source}`);
  }
});

type Page = Awaited<ReturnType<typeof openPage>>;

/** The site, served while `body` has a page of Chromium. */
async function visit(body: (page: Page, url: string) => Promise<void>): Promise<void> {
  const server = await serve(folder);
  const problems: string[] = [];
  try {
    await withBrowser('chromium', async (browser) =>
      body(await openPage(browser, problems), `http://localhost:${(server.address() as AddressInfo).port}/`),
    );
  } finally {
    server.close();
  }
  assert.equal(problems, []);
}

seen('guides and reference are searched by the keyboard alone', () =>
  visit(async (page, url) => {
    await page.goto(`${url}training.html`);
    await page.keyboard.press('/');
    await page.waitForSelector('#search-field');
    const first = async (text: string) => {
      await page.$eval('#search-field', (field) => {
        (field as HTMLInputElement).value = '';
      });
      await page.type('#search-field', text);
      await page.waitForFunction(() => /found/.test(document.querySelector('#search p')?.textContent ?? ''));
      return page.$eval('.found a', (link) => link.getAttribute('href') ?? '');
    };
    assert.match(await first('lesion'), /^[a-z-]+\.html/);
    assert.is(await first('gradcheck'), 'api/functions/dawnfield.gradcheck.html');
    assert.match(await first('cross_entropy'), 'crossEntropy');
    await accessible(page, 'search');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => location.pathname.includes('crossEntropy'));
  }),
);

seen('axe-core finds nothing on the front page and a guide, and nothing is wider than 390 px', () =>
  visit(async (page, url) => {
    for (const path of ['index.html', 'mean-field.html'])
      for (const theme of ['light', 'dark']) {
        await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
        await page.setViewport({ width: theme === 'dark' ? 390 : 1280, height: 900 });
        await page.goto(url + path);
        await accessible(page, `${path}, ${theme}`);
        const [wide, allowed] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide <= allowed, `${path} is ${wide} px wide where ${allowed} are there`);
      }
  }),
);

test.run();
