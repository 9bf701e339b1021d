// The browser of answers: what is chosen, which rows that leaves, and a page of them at a time.

const PAGE = 50;
const SLICE = 12; // milliseconds of searching before the page may answer the reader again

const place = document.getElementById('browser');
const source = document.getElementById('index');
if (place && source) start(JSON.parse(source.textContent));
watchSections();

function start(index) {
  // Of two runs side by side, the names of the runs.
  Object.assign(NOUNS, index.nouns);
  const state = {arm: index.start, split: 'test', benchmark: '', prompting: 'cot', compare: '', change: '', search: '', page: 0, open: ''};
  let rows = [], shown = [], turn = 0, loaded = '';

  const status = make('p', {role: 'status', 'aria-live': 'polite'}, '');
  const list = make('ol', {class: 'list', 'aria-label': 'Questions'});
  const labels = make('div', {class: 'row labels', 'aria-hidden': 'true'});
  const chips = make('div', {class: 'choices chips', role: 'group', 'aria-label': 'Show'});
  const back = make('button', {type: 'button', onclick: () => turnTo(state.page - 1)}, 'Back');
  const next = make('button', {type: 'button', onclick: () => turnTo(state.page + 1)}, 'Next');
  const range = make('span');
  const search = make('input', {type: 'search', placeholder: 'in questions and answers', spellcheck: 'false', autocomplete: 'off'});
  const arms = select(index.arms.map((arm, at) => [String(at), visible(arm.label)]), value => set({arm: Number(value), benchmark: '', change: '', compare: ''}));
  const benchmarks = select([], value => set({benchmark: value}));
  const compares = select([], value => set({compare: value, change: ''}));
  const splits = toggles([['test', 'Test questions'], ['train', 'Training questions']], value => set({split: value, change: '', benchmark: ''}));
  const promptings = toggles([['cot', 'CoT'], ['direct', 'Direct']], value => set({prompting: value}));
  const testOnly = [group('Prompting', promptings.element), field('Changed from … to', compares)];

  let typing = 0;
  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => set({search: search.value}), 120);
  });
  place.append(
    make('div', {class: 'tools'}, index.nouns ? null : group('Questions', splits.element),
      index.arms.length > 1 ? field('Student', arms) : null, field('Benchmark', benchmarks), ...testOnly, field('Search', search)),
    chips, make('div', {class: 'status'}, status, make('span', {class: 'pager'}, range, back, next)), labels, list);
  list.addEventListener('keydown', moveFocus);

  function set(changes) {
    Object.assign(state, {page: 0, open: '', elsewhere: false}, changes);
    remember();
    return show();
  }

  function arm() { return index.arms[state.arm]; }

  async function show() {
    const mine = ++turn, wanted = `${state.arm} ${state.split}`;
    if (loaded !== wanted) {
      status.textContent = 'Reading …';
      const found = await (state.split === 'test' ? testRows(arm()) : trainRows(arm()));
      if (mine !== turn) return;
      rows = found;
      loaded = wanted;
    }
    settle();
    const filters = filtersOf(view());
    const kept = await matching(rows, mine);
    if (!kept) return;
    const counts = filters.map(([, , test]) => kept.reduce((count, row) => count + (test(row) ? 1 : 0), 0));
    const chosen = filters.find(([value]) => value === state.change) ?? filters[0];
    shown = kept.filter(chosen[2]);
    if (state.open) {
      const at = shown.findIndex(row => row.id === state.open);
      state.page = at < 0 ? 0 : Math.floor(at / PAGE);
    }
    drawControls(filters, counts);
    drawList();
    place.dataset.state = 'ready';
  }

  function settle() {
    const names = [...new Set(rows.map(row => row.benchmark))];
    if (!names.includes(state.benchmark)) state.benchmark = '';
    options(benchmarks, [['', 'all'], ...names.map(name => [name, visible(name)])], state.benchmark);
    const pairs = comparable();
    if (!pairs.some(([value]) => value === state.compare)) state.compare = pairs.at(-1)?.[0] ?? '';
    options(compares, pairs, state.compare);
  }

  function phasesShown() {
    return PHASES.filter(phase => Object.values(arm().test).some(phases => phases[phase]));
  }

  function comparable() {
    const phases = phasesShown(), pairs = [];
    if (phases.length > 2) pairs.push([`${phases[0]} ${phases[2]}`, `${NOUNS[phases[0]]} → ${NOUNS[phases[2]]}`]);
    phases.slice(1).forEach((phase, at) => pairs.push([`${phases[at]} ${phase}`, `${NOUNS[phases[at]]} → ${NOUNS[phase]}`]));
    return pairs;
  }

  function view() {
    return {split: state.split, prompting: state.prompting, phases: phasesShown(), compare: state.compare.split(' '),
      term: state.search.trim().toLowerCase(), teacher: arm().teacher, paired: arm().pair !== null,
      files: {...index.leftOut, ...index.files}, link};
  }

  function link(row) {
    const {split, prompting, compare} = state;
    return `#answers?${new URLSearchParams({arm: arm().arm, seed: arm().seed, split, prompting, ...(split === 'test' && {compare}), benchmark: row.benchmark, question: row.id})}`;
  }

  async function matching(all, mine) {
    const term = state.search.trim().toLowerCase(), kept = [];
    let since = performance.now();
    for (const row of all) {
      if (state.benchmark && row.benchmark !== state.benchmark) continue;
      if (!term || haystack(row).includes(term)) kept.push(row);
      if (term && performance.now() - since > SLICE) {
        await new Promise(resolve => setTimeout(resolve));
        if (mine !== turn) return null;
        since = performance.now();
      }
    }
    return kept;
  }

  function drawControls(filters, counts) {
    arms.value = String(state.arm);
    splits.choose(state.split);
    promptings.choose(state.prompting);
    if (search.value !== state.search) search.value = state.search;
    testOnly.forEach(one => { one.hidden = state.split !== 'test'; one.style.display = one.hidden ? 'none' : ''; });
    chips.replaceChildren(...filters.map(([value, name], at) => make('button',
      {type: 'button', 'aria-pressed': String(value === state.change), 'data-change': value, onclick: () => set({change: value})},
      `${name} `, make('small', {}, counts[at].toLocaleString('en')))));
  }

  function drawList() {
    const from = state.page * PAGE, some = shown.slice(from, from + PAGE), now = view(), columns = columnsOf(now);
    const missing = leftOut();
    status.textContent = shown.length ? `${shown.length.toLocaleString('en')} of ${rows.length.toLocaleString('en')} questions`
      : rows.length ? 'No question fits.' : 'There are no answers of this kind here.';
    if (missing) status.textContent += ` ${missing}`;
    if (state.elsewhere) status.textContent += ' The link is to a student that this report does not have.';
    range.textContent = shown.length > PAGE ? `${from + 1}–${from + some.length}` : '';
    back.disabled = state.page === 0;
    next.disabled = from + PAGE >= shown.length;
    back.hidden = next.hidden = shown.length <= PAGE;
    labels.style.setProperty('--columns', columns.length);
    labels.replaceChildren(make('span', {class: 'q'}, 'question'), ...columns.map(name => make('span', {}, name)));
    list.start = from + 1;
    list.replaceChildren(...some.map((row, at) => item(row, at, now, columns.length)));
  }

  function leftOut() {
    const names = [...Object.values(arm().test).flatMap(phases => Object.values(phases)), ...arm().annotate, ...arm().sample, arm().pair];
    const count = new Set(names.filter(name => name && index.leftOut[name])).size;
    return count ? `The page had no room for ${count} more files of this student: read them in the store.` : '';
  }

  function item(row, at, now, columns) {
    const body = make('div', {class: 'inside', id: `inside-${at}`, hidden: true});
    const button = make('button', {type: 'button', class: 'row', 'aria-expanded': 'false', 'aria-controls': body.id, onclick: toggle},
      make('span', {class: 'q'}, make('span', {class: 'id'}, visible(row.benchmark)), ...textNodes(questionText(row).slice(0, 300) || row.id, now.term)),
      ...cellsOf(row, now));
    button.style.setProperty('--columns', columns);
    function toggle() {
      const open = button.getAttribute('aria-expanded') !== 'true';
      button.setAttribute('aria-expanded', String(open));
      body.hidden = !open;
      body.replaceChildren(...(open ? inside(row, now).filter(Boolean) : []));
    }
    if (row.id === state.open) { toggle(); queueMicrotask(() => button.scrollIntoView({block: 'center', behavior: 'instant'})); }
    return make('li', {}, button, body);
  }

  function turnTo(page) {
    state.page = page;
    drawList();
    labels.scrollIntoView({block: 'nearest'});
    list.querySelector('button')?.focus({preventScroll: true});
  }

  function moveFocus(event) {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!step || !event.target.classList.contains('row')) return;
    const buttons = [...list.querySelectorAll('button.row')];
    const to = buttons[buttons.indexOf(event.target) + step];
    if (to) { to.focus(); event.preventDefault(); }
  }

  function remember() {
    const kept = {arm: arm().arm, seed: arm().seed, split: state.split, prompting: state.prompting};
    for (const name of ['benchmark', 'compare', 'change', 'search']) if (state[name]) kept[name] = state[name];
    history.replaceState(null, '', `#answers?${new URLSearchParams(kept)}`);
  }

  function follow() {
    const [anchor, query] = location.hash.split('?');
    if (anchor !== '#answers' || query === undefined) return false;
    const asked = new URLSearchParams(query);
    Object.assign(state, {arm: armOf(asked), split: asked.get('split') === 'train' ? 'train' : 'test', page: 0,
      benchmark: asked.get('benchmark') ?? '', prompting: asked.get('prompting') === 'direct' ? 'direct' : 'cot',
      compare: asked.get('compare') ?? comparedTo(asked.get('phase')), change: asked.get('change') ?? '',
      search: asked.get('search') ?? '', open: asked.get('question') ?? ''});
    show().then(() => { if (!shown.some(row => row.id === state.open)) document.getElementById('answers').scrollIntoView({behavior: 'instant'}); });
    return true;
  }

  // A link names an arm by what was done to the student; one that the report no longer has leads to the nearest, and it says so.
  function armOf(asked) {
    const [arm, seed, benchmark] = ['arm', 'seed', 'benchmark'].map(name => asked.get(name));
    const places = [...index.arms.keys()], same = at => arm === null || index.arms[at].arm === arm;
    const wanted = at => same(at) && (seed === null || String(index.arms[at].seed) === seed);
    const exact = arm === null && seed === null ? index.start : places.find(wanted);
    state.elsewhere = exact === undefined;
    return exact ?? places.find(same) ?? places.find(at => index.arms[at].test[benchmark]) ?? index.start;
  }

  function comparedTo(phase) {
    const at = PHASES.indexOf(phase);
    return at < 0 ? '' : at === 0 ? 'baseline instruct' : `${PHASES[at - 1]} ${phase}`;
  }

  window.addEventListener('hashchange', follow);
  if (typeof DecompressionStream === 'undefined') {
    status.textContent = 'This browser is too old to unpack the answers; they lie in the store as JSON Lines.';
    place.dataset.state = 'ready';
  } else if (!follow()) {
    // Unpacked only when a reader comes near, so that the page itself is there at once.
    const near = new IntersectionObserver(entries => {
      if (entries.some(entry => entry.isIntersecting)) { near.disconnect(); if (!loaded) show(); }
    }, {rootMargin: '600px'});
    near.observe(place);
  }
}

function filtersOf(now) {
  const every = ['', 'all', () => true];
  if (now.split === 'test') {
    const became = name => [name, name, row => change(row, now.compare, now.prompting) === name];
    return [every, became('wrong to right'), became('right to wrong'), became('stayed right'), became('stayed wrong'),
      ['unread', 'no answer read', row => unread(row, now.compare, now.prompting)],
      ['cut off', 'cut off', row => cutOff(row, now.compare, now.prompting)]];
  }
  const taught = [['taught wrong', 'demonstration wrong', row => row.teacher?.right === false],
    ['cut off', 'demonstration cut off', row => row.teacher?.truncated === true]];
  if (!now.paired) return [every, ...taught];
  return [every, ...Object.entries(ORIGINS).map(([from, name]) => [`from ${from}`, `chosen: ${name}`, row => row.pair?.from === from]),
    ['rejected right', 'rejected although right', row => row.pair?.rejectedRight === true],
    ['left out', 'left out', row => row.leftOut !== undefined], ...taught,
    ['own cut off', 'student’s answer cut off', row => row.student?.truncated.direct || row.student?.truncated.cot]];
}

function select(pairs, changed) {
  const element = make('select', {onchange: () => changed(element.value)});
  options(element, pairs, pairs[0]?.[0]);
  return element;
}

function options(element, pairs, value) {
  element.replaceChildren(...pairs.map(([own, name]) => make('option', {value: own}, name)));
  element.value = value;
}

function toggles(pairs, changed) {
  const buttons = pairs.map(([value, name]) => make('button', {type: 'button', 'data-value': value, onclick: () => changed(value)}, name));
  return {element: make('div', {class: 'choices'}, ...buttons),
    choose: value => buttons.forEach(one => one.setAttribute('aria-pressed', String(one.dataset.value === value)))};
}

function field(name, control) { return make('label', {}, name, control); }

function group(name, control) {
  control.setAttribute('role', 'group');
  control.setAttribute('aria-label', name);
  return make('div', {class: 'group'}, make('span', {}, name), control);
}

// Which section is being read, shown in the navigation.
function watchSections() {
  const links = new Map([...document.querySelectorAll('nav a')].map(link => [link.hash.slice(1), link]));
  const seen = new Set();
  const watcher = new IntersectionObserver(entries => {
    for (const entry of entries) seen[entry.isIntersecting ? 'add' : 'delete'](entry.target.id);
    const first = [...links.keys()].find(id => seen.has(id));
    for (const [id, link] of links) id === first ? link.setAttribute('aria-current', 'true') : link.removeAttribute('aria-current');
  }, {rootMargin: '-15% 0px -70% 0px'});
  for (const section of document.querySelectorAll('main > section')) watcher.observe(section);
}
