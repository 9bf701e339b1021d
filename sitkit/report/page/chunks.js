// The data of the page: packed chunks, unpacked when a reader first asks for them, and kept.

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
