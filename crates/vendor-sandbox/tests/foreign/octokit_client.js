// `@octokit/rest` with GitHub's own throttling against a running sandbox: `node octokit_client.js URL`.

const assert = require("node:assert");
const { Octokit } = require("@octokit/rest");
const { throttling } = require("@octokit/plugin-throttling");

const url = process.argv[2];
const shop = { owner: "acme", repo: "shop" };

async function main() {
  const limited = [];
  const note = (kind) => (wait) => {
    limited.push([kind, wait]);
    return false;
  };
  const Client = Octokit.plugin(throttling);
  const octokit = new Client({
    auth: "github_pat_sandbox",
    baseUrl: url,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    throttle: { onRateLimit: note("primary"), onSecondaryRateLimit: note("secondary") },
  });

  const opened = await octokit.issues.create({ ...shop, title: "js-1", labels: ["late"] });
  assert.strictEqual(opened.status, 201);
  assert.strictEqual(opened.headers["x-ratelimit-limit"], "100");
  const issue_number = opened.data.number;
  const closed = await octokit.issues.update({ ...shop, issue_number, state: "closed" });
  assert.strictEqual(closed.data.title, "js-1");
  await octokit.issues.createComment({ ...shop, issue_number, body: "It has come." });
  const comments = await octokit.issues.listComments({ ...shop, issue_number });
  assert.deepStrictEqual(comments.data.map((comment) => comment.body), ["It has come."]);

  const path = "orders/js-1.json";
  const content = Buffer.from("{}").toString("base64");
  const put = (more) =>
    octokit.repos.createOrUpdateFileContents({ ...shop, path, message: "m", content, ...more });
  const { sha } = (await put()).data.content;
  await assert.rejects(put(), { status: 422 });
  await assert.rejects(put({ sha: "0".repeat(40) }), { status: 409 });
  assert.strictEqual((await put({ sha })).status, 200);

  await octokit.issues.createLabel({ ...shop, name: "late" });
  const again = octokit.issues.createLabel({ ...shop, name: "late" });
  await assert.rejects(again, (error) => error.response.data.errors[0].code === "already_exists");
  const none = octokit.issues.get({ ...shop, issue_number: 99 });
  await assert.rejects(none, { status: 404 });

  const fault = JSON.stringify({ fault: "429-burst:1" });
  await fetch(`${url}/_sandbox/fault`, { method: "POST", body: fault });
  await assert.rejects(octokit.issues.create({ ...shop, title: "js-2" }), { status: 403 });
  assert.deepStrictEqual(limited, [["secondary", 60]], "it waits a minute where none is told");
  console.log("octokit is served and refused as it should be");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
