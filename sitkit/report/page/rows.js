// The rows of answers: packed chunks, unpacked when a reader first asks for them, put together as one row a question.

const asked = new Map();

function chunk(name) {
  if (!asked.has(name)) asked.set(name, unpack(name));
  return asked.get(name);
}

async function unpack(name) {
  const element = name && document.querySelector(`script[data-chunk="${CSS.escape(name)}"]`);
  if (!element) return null;
  const bytes = Uint8Array.from(atob(element.textContent), character => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(stream).text());
}

const PHASES = ['baseline', 'instruct', 'refine'];
const NOUNS = {baseline: 'baseline', instruct: 'instructed', refine: 'refined'};

function rowOf(rows, benchmark, id) {
  const place = `${benchmark}\u0000${id}`;
  if (!rows.has(place)) rows.set(place, {id, benchmark, prompt: '', target: '', phases: {}});
  return rows.get(place);
}

async function testRows(arm) {
  const rows = new Map();
  for (const [benchmark, phases] of Object.entries(arm.test)) {
    const questions = await chunk(arm.questions[benchmark]);
    const texts = new Map((questions ? questions.id : []).map((id, at) => [id, at]));
    for (const phase of PHASES) {
      const found = await chunk(phases[phase]);
      if (!found) continue;
      for (const prompting of ['direct', 'cot']) {
        const {id, text, read, right, truncated} = found[prompting];
        id.forEach((one, at) => {
          const row = rowOf(rows, benchmark, one);
          const known = texts.get(one);
          if (known !== undefined) { row.prompt = questions.prompt[known]; row.target = questions.target[known]; }
          row.phases[phase] ??= {file: phases[phase]};
          row.phases[phase][prompting] = {text: text[at], read: read[at], right: right[at] === 1, truncated: truncated[at] === 1};
        });
      }
    }
  }
  return [...rows.values()];
}

async function trainRows(arm) {
  const rows = new Map();
  for (const name of arm.annotate) {
    const found = await chunk(name);
    if (found) found.id.forEach((id, at) => {
      const row = rowOf(rows, found.benchmark[at], id);
      row.prompt = found.prompt[at];
      row.teacher = {text: found.text[at], thought: found.thought[at], right: found.right[at] === 1,
        truncated: found.truncated[at] === 1, file: name};
    });
  }
  for (const name of arm.sample) {
    const found = await chunk(name);
    if (found) found.id.forEach((id, at) => {
      rowOf(rows, found.benchmark[at], id).student = {direct: found.direct[at], cot: found.cot[at], file: name,
        truncated: {direct: found.direct_truncated[at] === 1, cot: found.cot_truncated[at] === 1}};
    });
  }
  await addPairs(rows, arm.pair);
  return [...rows.values()];
}

async function addPairs(rows, name) {
  const found = await chunk(name);
  if (!found) return;
  found.id.forEach((id, at) => {
    const row = rowOf(rows, found.benchmark[at], id);
    row.prompt ||= found.prompt[at];
    // One pair is shown for a question; how many more it has is told.
    if (row.pair?.file === name) { row.pair.more += 1; return; }
    row.pair = {chosen: found.chosen[at], rejected: found.rejected[at], from: found.from[at],
      chosenRight: found.chosen_right[at] === 1, rejectedRight: found.rejected_right[at] === 1, more: 0, file: name};
  });
  for (const [benchmark, id, reason] of found.left_out) rowOf(rows, benchmark, id).leftOut = reason;
}

function questionText(row) {
  const found = /(?:^|\n)Question: ([\s\S]*?)(?:\nChoices:|\nAnswer:|$)/.exec(row.prompt);
  return found ? found[1] : row.prompt;
}

function haystack(row) {
  if (row.searched === undefined) {
    const texts = [row.id, row.prompt, row.target];
    for (const phase of Object.values(row.phases)) texts.push(phase.direct?.text, phase.cot?.text);
    texts.push(row.teacher?.text, row.teacher?.thought, row.student?.direct, row.student?.cot);
    if (row.pair) texts.push(...[row.pair.chosen, row.pair.rejected].filter(one => typeof one === 'string'));
    row.searched = texts.filter(Boolean).join('\n').toLowerCase();
  }
  return row.searched;
}

// What became of a question from one phase to another.
function change(row, [before, after], prompting) {
  const was = row.phases[before]?.[prompting], is = row.phases[after]?.[prompting];
  if (!was || !is) return 'none';
  return was.right ? (is.right ? 'stayed right' : 'right to wrong') : (is.right ? 'wrong to right' : 'stayed wrong');
}

function cutOff(row, phases, prompting) {
  return phases.some(phase => row.phases[phase]?.[prompting]?.truncated);
}

function unread(row, phases, prompting) {
  return phases.some(phase => row.phases[phase]?.[prompting]?.read === null);
}
