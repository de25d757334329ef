// The page: wires its parts to the worker's messages. It draws, and nothing else; all training happens in the worker.

import { chosen, makeControls } from './controls';
import { makeCurves } from './curves';
import { byId, el } from './dom';
import { makeFiles } from './files';
import { makeFlowPanel } from './flow-panel';
import { listen, send } from './link';
import { makeParticles } from './particles';
import { makePictures } from './pictures';
import { makeSteps } from './steps';
import { everything, hear } from './store';
import { remedy } from './support';
import { makeTheme, theme } from './theme';
import { makeTiles } from './tiles';
import { makeTransport } from './transport';

makeControls();
makeTransport();
makeCurves(theme);
makeParticles(theme);
makeTiles(theme);
makeSteps();
makePictures();
makeFiles();
makeTheme(makeFlowPanel(theme));

listen(hear);
listen((message) => {
  if (message.type !== 'missing') return;
  const box = byId('missing');
  box.hidden = false;
  box.replaceChildren(
    el('strong', {}, 'This browser gives the page no GPU. '),
    remedy(),
    el('details', {}, el('summary', {}, 'What it said'), el('code', {}, message.message)),
  );
});

// A tab that is hidden or closed has its run saved.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') send({ type: 'save' });
});

everything();
if (matchMedia('(max-width: 860px)').matches)
  for (const group of document.querySelectorAll<HTMLDetailsElement>('#controls details')) group.open = false;
send({ type: 'preview', settings: chosen() });
