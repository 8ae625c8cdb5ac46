// What pages gain by a script: times in the reader's zone, and parts that refresh themselves. Every page is complete without.
'use strict';

const each = 2500; // milliseconds between two refreshes

function localize(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date().toDateString();
    const options = today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'medium' };
    time.title = time.dataset.utc;
    time.textContent = new Intl.DateTimeFormat(undefined, options).format(at);
  }
}

// busy: the reader is about to use something in this part, so it stays as it is.
function busy(part) {
  const selection = document.getSelection();
  return part.contains(document.activeElement) && document.activeElement !== part ||
    part.querySelector('details[open]') !== null ||
    selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

// refresh replaces the parts that have changed, and says how that went.
async function refresh() {
  let answer;
  try {
    answer = await fetch(location.href, { credentials: 'same-origin', headers: { Accept: 'text/html' } });
  } catch {
    return 'offline';
  }
  if (answer.redirected || answer.status === 401) location.reload(); // the session has ended
  if (!answer.ok) return 'not refreshed (' + answer.status + ')';
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  for (const part of document.querySelectorAll('[data-live]')) {
    const next = fresh.getElementById(part.id);
    if (!next || busy(part) || next.outerHTML === part.original) continue;
    const source = next.outerHTML;
    const node = document.importNode(next, true);
    localize(node);
    part.replaceWith(node);
    node.original = source;
  }
  return 'live';
}

function live() {
  const place = document.getElementById('live');
  if (!place) return;
  const status = document.createElement('span');
  const button = document.createElement('button');
  let paused = false;
  let timer;
  const next = () => { timer = setTimeout(tick, each); };
  const tick = async () => {
    const how = document.hidden ? status.textContent : await refresh();
    if (paused) return;
    status.textContent = how;
    next();
  };
  status.textContent = 'live';
  button.type = 'button';
  button.className = 'plain';
  button.textContent = 'Pause';
  button.addEventListener('click', () => {
    paused = !paused;
    button.textContent = paused ? 'Resume' : 'Pause';
    status.textContent = paused ? 'paused' : 'live';
    clearTimeout(timer);
    if (!paused) tick();
  });
  place.append(status, ' ', button);
  next();
}

localize(document);
live();
