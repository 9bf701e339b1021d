// What a reader sees of one row. Texts come from models: they are set as text, never read as HTML.

const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

function code(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
}

function visible(text) {
  return text.replace(UNSEEN, found => `‹${code(found)}›`);
}

// The text with invisible characters written out and what was searched for marked.
function textNodes(text, term) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    nodes.push(...marked(text.slice(from, found.index), term), make('span', {class: 'unseen'}, code(found[0])));
    from = found.index + found[0].length;
  }
  nodes.push(...marked(text.slice(from), term));
  return nodes;
}

function marked(text, term) {
  if (!term) return text ? [document.createTextNode(text)] : [];
  const lower = text.toLowerCase(), nodes = [];
  if (lower.length !== text.length) return [document.createTextNode(text)];
  let from = 0;
  for (let at = lower.indexOf(term); at >= 0; at = lower.indexOf(term, from)) {
    nodes.push(document.createTextNode(text.slice(from, at)), make('mark', {}, text.slice(at, at + term.length)));
    from = at + term.length;
  }
  nodes.push(document.createTextNode(text.slice(from)));
  return nodes;
}

function textBlock(text, term, dim = false) {
  const kind = `text${dim ? ' dim' : ''}${text ? '' : ' nothing'}`;
  return make('div', {class: kind, dir: 'auto'}, ...textNodes(text, term));
}

function verdictOf(answer) {
  if (!answer) return ['absent', '', 'not asked'];
  if (answer.read === null) return ['unread', 'none read', `no answer was read, counted ${answer.right ? 'right' : 'wrong'}`];
  return [answer.right ? 'right' : 'wrong', visible(answer.read), answer.right ? 'right' : 'wrong'];
}

function verdict(answer, name) {
  const [kind, shown, said] = verdictOf(answer);
  return make('span', {class: `verdict ${kind}`, title: shown}, make('span', {class: 'sr'}, `${name}: ${said}. `), shown);
}

function judged(right, shown, name) {
  const kind = right === undefined ? 'absent' : right ? 'right' : 'wrong';
  return make('span', {class: `verdict ${kind}`}, make('span', {class: 'sr'}, `${name}: ${right ? 'right' : 'wrong'}. `), shown);
}

function plain(shown, name) {
  return make('span', {class: 'verdict plain'}, make('span', {class: 'sr'}, `${name}: `), shown);
}

const ORIGINS = {student: 'student’s own', teacher: 'teacher’s', target: 'target'};

function columnsOf(view) {
  if (view.split === 'test') return ['target', ...view.phases.map(phase => NOUNS[phase])];
  return view.paired ? ['demonstration', 'chosen', 'rejected'] : ['demonstration'];
}

function cellsOf(row, view) {
  if (view.split === 'test') {
    return [plain(visible(row.target), 'target'),
      ...view.phases.map(phase => verdict(row.phases[phase]?.[view.prompting], NOUNS[phase]))];
  }
  const {teacher, pair} = row, shown = judged(teacher?.right, '', 'demonstration');
  if (!view.paired) return [shown];
  if (!pair) return [shown, plain(row.leftOut ? `left out: ${row.leftOut}` : '–', 'pair'), plain('', '')];
  return [shown, judged(pair.chosenRight, ORIGINS[pair.from] ?? pair.from, 'chosen'),
    pair.rejected === '' ? plain('–', 'rejected') : judged(pair.rejectedRight, pair.rejectedRight ? 'right' : 'wrong', 'rejected')];
}

function inside(row, view) {
  return view.split === 'test' ? insideTest(row, view) : insideTrain(row, view);
}

function cutNote(truncated) {
  return truncated ? make('p', {class: 'where'}, 'It was cut off at the length limit.') : null;
}

function insideTest(row, view) {
  const other = view.prompting === 'cot' ? 'direct' : 'cot';
  const blocks = view.phases.map(phase => {
    const found = row.phases[phase];
    if (!found) return null;
    const own = found[view.prompting], beside = found[other];
    return make('div', {class: phase},
      make('h3', {}, capital(NOUNS[phase]), own ? verdict(own, NOUNS[phase]) : null),
      own ? textBlock(own.text, view.term) : make('p', {class: 'where'}, 'not asked'),
      cutNote(own?.truncated),
      beside ? make('h4', {}, other === 'direct' ? 'direct' : 'CoT', verdict(beside, NOUNS[phase])) : null,
      beside ? textBlock(beside.text, view.term, true) : null,
      cutNote(beside?.truncated),
      where(found.file, view));
  });
  return [questionBlock(row, view), make('div', {class: 'said'}, ...blocks)];
}

function insideTrain(row, view) {
  const {teacher, student, pair} = row, blocks = [];
  if (teacher) {
    blocks.push(make('div', {class: 'teacher'},
      make('h3', {}, `Teacher’s demonstration${view.teacher ? ` (${visible(view.teacher)})` : ''}`, judged(teacher.right, '', 'demonstration'), ...badges(pair, 'teacher')),
      textBlock(teacher.text, view.term),
      teacher.thought ? make('details', {}, make('summary', {}, 'what it thought'), textBlock(teacher.thought, view.term, true)) : null,
      teacher.truncated ? make('p', {class: 'where'}, 'It was cut off at the length limit and is not trained on.') : null,
      where(teacher.file, view)));
  }
  if (student) for (const [source, title] of [['cot', 'Student, CoT'], ['direct', 'Student, direct']]) {
    blocks.push(make('div', {class: 'student'}, make('h3', {}, title, ...badges(pair, source)),
      textBlock(student[source], view.term), cutNote(student.truncated[source]), where(student.file, view)));
  }
  for (const side of ['chosen', 'rejected']) {
    if (pair && pair[side] && typeof pair[side] === 'string') {
      blocks.push(make('div', {class: 'pair'}, make('h3', {}, capital(side), badge(pair, side)), textBlock(pair[side], view.term)));
    }
  }
  const more = pair?.more ? make('p', {class: 'note'}, `The first of this question’s ${pair.more + 1} pairs; all are in the file.`) : null;
  const told = row.leftOut ? make('p', {class: 'note'}, `Left out of the pairs: ${row.leftOut}.`) : null;
  return [questionBlock(row, view), told, more, make('div', {class: 'said'}, ...blocks), pair ? where(pair.file, view) : null];
}

function badges(pair, source) {
  if (!pair) return [];
  return ['chosen', 'rejected'].filter(side => pair[side][0] === source && typeof pair[side] !== 'string').map(side => badge(pair, side));
}

function badge(pair, side) {
  return make('span', {class: `badge ${side}`}, `${side}, ${pair[`${side}Right`] ? 'right' : 'wrong'}`);
}

function questionBlock(row, view) {
  const body = row.prompt ? textBlock(row.prompt.replace(/\nAnswer:[^\n]*$/, ''), view.term)
    : make('p', {class: 'note'}, 'The question’s text is not at hand.');
  const facts = make('dl', {}, ...(row.target ? [make('dt', {}, 'target'), make('dd', {}, ...textNodes(row.target, view.term))] : []),
    make('dt', {}, 'id'), make('dd', {}, visible(row.id)),
    make('dd', {}, make('a', {href: view.link(row)}, 'link to this question')));
  return make('div', {class: 'question'}, body, facts);
}

function where(name, view) {
  return make('p', {class: 'where'}, make('code', {}, view.files[name] ?? name));
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
