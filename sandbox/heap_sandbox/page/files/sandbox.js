// Requests to the sandbox's own endpoints.

export async function ask(path, options = {}) {
  const answer = await fetch(`/sandbox/${path}`, options);
  if (!answer.ok) throw Object.assign(new Error((await answer.json()).error), { status: answer.status });
  return answer;
}

export const read = async (path, options) => (await ask(path, options)).json();

export const send = (method, path, content) => read(path, { method, body: content && JSON.stringify(content) });
