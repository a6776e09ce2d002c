// `node-zendesk` against a running sandbox: `node zendesk_client.js URL`.

const assert = require("node:assert");
const zendesk = require("node-zendesk");

const url = process.argv[2];

async function main() {
  const client = zendesk.createClient({
    username: "agent@example.com",
    token: "sandbox-api-token",
    endpointUri: `${url}/api/v2`,
  });

  const { result: ticket } = await client.tickets.create({
    ticket: { subject: "js-1", external_id: "js-1", comment: { body: "It has not come." } },
  });
  assert.strictEqual(ticket.subject, "js-1");
  assert.strictEqual(ticket.description, "It has not come.");
  const { result: read } = await client.tickets.show(ticket.id);
  assert.strictEqual(read.external_id, "js-1");
  const update = { ticket: { status: "solved", comment: { body: "It has come." } } };
  assert.strictEqual((await client.tickets.update(ticket.id, update)).result.status, "solved");
  const comments = await client.tickets.getComments(ticket.id);
  assert.deepStrictEqual(comments.map((one) => one.body), ["It has not come.", "It has come."]);

  const ada = { user: { external_id: "u-1", name: "Ada", email: "ada@example.com" } };
  const { result: made } = await client.users.createOrUpdate(ada);
  const { result: changed } = await client.users.createOrUpdate(ada);
  assert.strictEqual(changed.id, made.id);

  const blank = client.tickets.create({ ticket: { subject: "without a comment" } });
  await assert.rejects(blank, /422/);
  await assert.rejects(client.tickets.show(99999), /404/);

  const stranger = zendesk.createClient({
    username: "agent@example.com",
    token: "another",
    endpointUri: `${url}/api/v2`,
  });
  await assert.rejects(stranger.tickets.list(), /401/);
  console.log("node-zendesk is served as it should be");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
