// The API reference: typedoc over what package.json exports. It reads the comments of the sources; where one stands beside a row of a table or the
// property that a name is taken from, it is found as for the published types (scripts/publish/docs.mjs).
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import {
  Application,
  Comment,
  CommentTag,
  type Context,
  Converter,
  type DeclarationReflection,
  LogLevel,
  type ProjectReflection,
  ReflectionKind,
  ReflectionType,
  RendererEvent,
} from 'typedoc';
import { docOf } from '../../scripts/publish/docs.mjs';
import { ENTRIES } from '../../scripts/publish/modules';
import { FAMILY_ORDER, familyOf } from './families';
import { filesOf } from './links';
import { NOT_EXPORTED } from './not-exported';
import { REPOSITORY, root } from './places';
import { type Found, namesOf } from './search';

/** `lean` and `methods` are parts of `dawnfield`, which is documented as Node has it. */
const entries = Object.entries(ENTRIES).flatMap(([path, source]): [string, string][] => {
  if (path === './lean' || path === './methods') return [];
  return [[`dawnfield${path.slice(1)}`, path === '.' ? 'src/index.node.ts' : source]];
});

/** Stands for the site's folder in links to it, which typedoc writes alike on pages of every folder. */
const SITE = 'https://site.invalid/';

const text = (words: string) => [{ kind: 'text' as const, text: words }];

/** Writes the reference into the folder `name` of the site, and returns its names; throws where typedoc warns. */
export async function writeReference(site: string, name: string): Promise<Found[]> {
  const folder = join(site, name);
  const app = await Application.bootstrapWithPlugins({
    // Those of the library's parts first: a name is documented where it is met first, and referred to elsewhere.
    entryPoints: [...entries].reverse().map(([, source]) => join(root, source)),
    intentionallyNotExported: NOT_EXPORTED,
    tsconfig: join(root, 'docs/site/tsconfig.reference.json'),
    basePath: root,
    out: folder,
    ...{ name: 'Dawnfield', readme: join(root, 'docs/site/reference.md'), includeVersion: true, hideGenerator: true },
    ...{ excludeInternal: true, excludePrivate: true, excludeProtected: false, excludeExternals: true },
    ...{ disableGit: true, gitRevision: 'main', sourceLinkTemplate: `${REPOSITORY}/blob/main/{path}#L{line}` },
    ...{ categorizeByGroup: false, categoryOrder: [...FAMILY_ORDER, '*'], defaultCategory: 'Other' },
    ...{ navigation: { includeCategories: true, includeGroups: false }, includeHierarchySummary: false },
    ...{
      navigationLinks: { Guides: `${SITE}training.html`, 'Try it': `${SITE}page/index.html` },
      titleLink: `${SITE}index.html`,
    },
    ...{
      visibilityFilters: {},
      customCss: join(root, 'docs/site/reference.css'),
      favicon: join(root, 'docs/site/icon.svg'),
    },
    skipErrorChecking: true, // `npm run check` does it
    ...{ treatWarningsAsErrors: true, logLevel: LogLevel.Warn },
    validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true },
  });
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, comment);
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }: Context) => arrange(project), 1000);
  const project = await app.convert();
  if (!project) throw new Error('typedoc could not read the sources.');
  app.validate(project);
  const found: Found[] = [];
  app.renderer.on(RendererEvent.END, () => {
    if (app.renderer.router) found.push(...namesOf(app.renderer.router, name));
  });
  await app.generateOutputs(project);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error('typedoc warns (above).');
  for (const path of filesOf(folder).filter((name) => name.endsWith('.html'))) {
    const up = '../'.repeat(relative(folder, path).split(sep).length);
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(SITE, up));
  }
  return found;
}

/** What the source says of a name that has no comment of its own. */
function comment(context: Context, reflection: DeclarationReflection): void {
  const symbol = context.getSymbolFromReflection(reflection);
  if (!symbol || reflection.comment) return;
  const doc = docOf(context.checker, symbol);
  if (doc) reflection.comment = new Comment(text(doc));
}

function arrange(project: ProjectReflection): void {
  const modules = project.getChildrenByKind(ReflectionKind.Module);
  for (const module of modules) {
    const file = module.sources?.[0]?.fileName ?? '';
    const name = entries.find(([, source]) => file.endsWith(source))?.[0];
    if (name) module.name = name;
    for (const child of module.children ?? []) {
      asFunction(project, child);
      const family = familyOf(module.name, child.sources?.[0]?.fileName ?? '');
      if (family) categorise(child, family);
    }
  }
}

/** A constant that is a function is shown as one. */
function asFunction(project: ProjectReflection, reflection: DeclarationReflection): void {
  const { type } = reflection;
  if (reflection.kind !== ReflectionKind.Variable || !(type instanceof ReflectionType)) return;
  const { declaration } = type;
  const { signatures } = declaration;
  if (!signatures?.length || declaration.children?.length) return;
  declaration.signatures = undefined;
  for (const signature of signatures) {
    signature.name = reflection.name;
    signature.parent = reflection;
    signature.comment ??= reflection.comment?.clone();
    signature.sources ??= reflection.sources;
  }
  reflection.kind = ReflectionKind.Function;
  reflection.signatures = signatures;
  reflection.type = undefined;
  reflection.defaultValue = undefined;
  reflection.comment = undefined;
  project.removeReflection(declaration);
}

function categorise(reflection: DeclarationReflection, family: string): void {
  const holders = reflection.signatures ?? [reflection];
  for (const holder of holders) {
    holder.comment ??= new Comment();
    holder.comment.blockTags.push(new CommentTag('@category', text(family)));
  }
}
