// `dynamics-web-api` against a running sandbox: `node dynamics_client.js URL`.

const assert = require("node:assert");
const { DynamicsWebApi } = require("dynamics-web-api");

const url = process.argv[2];

async function token(secret) {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: "sandbox-client",
    client_secret: secret,
    scope: "https://sandbox.crm4.dynamics.com/.default",
  });
  const service = `${url}/sandbox-tenant/oauth2/v2.0/token`;
  return await (await fetch(service, { method: "POST", body: form })).json();
}

function client(accessToken) {
  const onTokenRefresh = async () => accessToken;
  return new DynamicsWebApi({ serverUrl: url, dataApi: { version: "9.2" }, onTokenRefresh });
}

async function main() {
  assert.strictEqual((await token("wrong")).error, "invalid_client");
  const api = client((await token("sandbox-secret")).access_token);

  const id = await api.create({ collection: "accounts", data: { name: "Acme & Söhne" } });
  assert.match(id, /^[0-9a-f-]{36}$/);
  const read = await api.retrieve({ collection: "accounts", key: id, select: ["name"] });
  assert.strictEqual(read.name, "Acme & Söhne");
  const contact = { collection: "contacts", data: { lastname: "Ada" } };
  const whole = await api.create({ ...contact, returnRepresentation: true });
  assert(whole.contactid && whole.lastname === "Ada", whole);

  // An upsert by alternate key, twice: one row.
  for (const quantity of [2, 3]) {
    const row = { collection: "accounts", key: "new_key='js-1'", data: { new_quantity: quantity } };
    assert.match(await api.upsert(row), /^[0-9a-f-]{36}$/);
  }
  const rows = await api.retrieveMultiple({
    collection: "accounts",
    filter: "new_key eq 'js-1' and new_quantity eq 3",
    select: ["accountid"],
    count: true,
  });
  assert.strictEqual(rows.oDataCount, 1, rows);

  // Only a creation, only an update, only this version: the client takes a refusal for an answer.
  const upsert = { collection: "accounts", key: "new_key='js-1'", data: { name: "x" } };
  assert.strictEqual(await api.upsert({ ...upsert, ifnonematch: "*" }), null);
  const missing = { ...upsert, key: "new_key='none'", ifmatch: "*" };
  assert.strictEqual(await api.upsert(missing), null);
  const stale = { collection: "accounts", key: id, data: { name: "x" }, ifmatch: 'W/"0"' };
  assert.strictEqual(await api.update(stale), false);

  const me = await api.callFunction("WhoAmI");
  assert(me.UserId, me);
  assert(await api.deleteRecord({ collection: "accounts", key: id }));
  const gone = { collection: "accounts", key: id };
  await assert.rejects(api.retrieve(gone), { status: 404, code: "0x80040217" });
  await assert.rejects(client("guessed").retrieve(gone), { status: 401 });

  const fault = JSON.stringify({ fault: "429-burst:1" });
  await fetch(`${url}/_sandbox/fault`, { method: "POST", body: fault });
  const limited = api.create({ collection: "accounts", data: { name: "limit" } });
  await assert.rejects(limited, (error) => {
    assert.strictEqual(error.status, 429);
    assert.strictEqual(error.code, "0x80072326");
    assert.strictEqual(error.headers["retry-after"], "1");
    return true;
  });
  console.log("dynamics-web-api is served and refused as it should be");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
