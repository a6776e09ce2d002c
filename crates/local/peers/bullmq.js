// The calls of the demo's scenario `peers` by BullMQ, as its documentation has it: a queue with
// priorities, a worker with a limiter, and a 429 that holds the whole queue for as long as the API asks.
//
// Its one argument is JSON: {redis, api, limiter: {max, duration}, concurrency, batch: [name],
// high: [name], high_every_ms}. When all calls have ended it prints JSON: [{name, high, asked_at_ms,
// failed}].
'use strict';

const { Queue, RateLimitError, Worker } = require('bullmq');
const { setTimeout: sleep } = require('node:timers/promises');

const QUEUE = 'calls';
const PRIORITY = { high: 1, batch: 3 };

const load = JSON.parse(process.argv[2]);
const connection = { host: '127.0.0.1', port: load.redis };

async function call(queue, { name }) {
  const answer = await fetch(`${load.api}/orders/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  await answer.arrayBuffer();
  if (answer.status === 429) {
    await queue.rateLimit(1000 * Number(answer.headers.get('retry-after') ?? 1));
    throw new RateLimitError();
  }
  if (!answer.ok) throw new Error(`${name} was answered ${answer.status}`);
}

async function main() {
  const queue = new Queue(QUEUE, { connection });
  const asked = [];
  const failed = new Set();
  const worker = new Worker(QUEUE, (job) => call(queue, job), {
    connection,
    concurrency: load.concurrency,
    limiter: load.limiter,
  });
  const ended = new Promise((resolve) => {
    let left = load.batch.length + load.high.length;
    const one = () => {
      left -= 1;
      if (left === 0) resolve();
    };
    worker.on('completed', one);
    worker.on('failed', (job) => {
      failed.add(job.name);
      one();
    });
  });

  const start = Date.now();
  const ask = (name, high) => asked.push({ name, high, asked_at_ms: Date.now() });
  load.batch.forEach((name) => ask(name, false));
  const batch = { priority: PRIORITY.batch };
  await queue.addBulk(load.batch.map((name) => ({ name, data: {}, opts: batch })));
  for (const [index, name] of load.high.entries()) {
    await sleep(Math.max(0, start + index * load.high_every_ms - Date.now()));
    ask(name, true);
    await queue.add(name, {}, { priority: PRIORITY.high });
  }
  await ended;
  await worker.close();
  await queue.close();
  console.log(JSON.stringify(asked.map((one) => ({ ...one, failed: failed.has(one.name) }))));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
