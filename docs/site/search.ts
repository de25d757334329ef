// What the search of the site looks through: each section of a document, and each public name of the reference with its first sentences.
import { Comment, DeclarationReflection, ReflectionKind, type Router } from 'typedoc';
import { plain } from './text';

/** A place that can be found. */
export interface Found {
  readonly title: string;
  /** The document or the module that it belongs to. */
  readonly where: string;
  readonly text: string;
  readonly url: string;
}

/** The sections of a document, each from its heading to the next; what comes before the second one belongs to the document. */
export function sectionsOf(where: string, address: string, html: string): Found[] {
  const parts = html.split(/(?=<h[123] id=")/);
  return parts.flatMap((part) => {
    const [heading, id = '', title = ''] = /^<h[123] id="([^"]+)">([\s\S]*?)<\/h[123]>/.exec(part) ?? [];
    if (heading === undefined) return [];
    const url = part.startsWith('<h1') ? address : `${address}#${id}`;
    return [{ title: plain(title), where, text: plain(part.slice(heading.length)), url }];
  });
}

const NAMES =
  ReflectionKind.Class |
  ReflectionKind.Interface |
  ReflectionKind.TypeAlias |
  ReflectionKind.Function |
  ReflectionKind.Variable |
  ReflectionKind.Method;

/** The names of the reference, which lies in `folder`. */
export function namesOf(router: Router, folder: string): Found[] {
  return router.getLinkTargets().flatMap((target) => {
    if (!(target instanceof DeclarationReflection) || !target.kindOf(NAMES) || target.inheritedFrom) return [];
    const { parent } = target;
    const isMember = parent?.kindOf(ReflectionKind.ClassOrInterface);
    const module = isMember ? parent?.parent : parent;
    const comment = target.comment ?? target.signatures?.[0]?.comment;
    const [first = ''] = Comment.combineDisplayParts(comment?.summary).split('\n\n');
    return [
      {
        title: isMember ? `${parent?.name}.${target.name}` : target.name,
        where: module?.name ?? '',
        text: first.replaceAll('`', '').replace(/\s+/g, ' '),
        url: `${folder}/${router.getFullUrl(target)}`,
      },
    ];
  });
}
