// `jsforce` against a running sandbox: `node jsforce_client.js URL`.

const assert = require("node:assert");
const jsforce = require("jsforce");

const url = process.argv[2];

async function main() {
  const oauth2 = { clientId: "sandbox-client", clientSecret: "sandbox-secret", loginUrl: url };
  const connection = new jsforce.Connection({ instanceUrl: url, oauth2, version: "62.0" });
  await connection.authorize({ grant_type: "client_credentials" });
  assert.strictEqual(connection.instanceUrl, url);

  const made = await connection.sobject("Account").create({ Name: "Acme & Söhne" });
  assert(made.success && made.id.startsWith("001"), made);
  const read = await connection.sobject("Account").retrieve(made.id);
  assert.strictEqual(read.Name, "Acme & Söhne");
  await connection.sobject("Account").update({ Id: made.id, City__c: "Ulm" });
  for (const quantity of [2, 3]) {
    const order = { Ext__c: "js-1", Quantity__c: quantity };
    const upserted = await connection.sobject("Order__c").upsert(order, "Ext__c");
    assert(upserted.success, upserted);
  }
  const rows = await connection.query("SELECT Id, Name FROM Account WHERE City__c = 'Ulm'");
  assert.strictEqual(rows.totalSize, 1);
  // jsforce reads the header that each answer has.
  assert.strictEqual(connection.limitInfo.apiUsage.limit, 15000);

  await assert.rejects(connection.query("SELEC Id"), { errorCode: "MALFORMED_QUERY" });
  await assert.rejects(connection.sobject("Account").retrieve("001none"), { errorCode: "NOT_FOUND" });
  assert((await connection.sobject("Account").destroy(made.id)).success);

  const fault = JSON.stringify({ fault: "429-burst:1" });
  await fetch(`${url}/_sandbox/fault`, { method: "POST", body: fault });
  const limited = connection.sobject("Account").create({ Name: "limit" });
  await assert.rejects(limited, { errorCode: "REQUEST_LIMIT_EXCEEDED" });
  console.log("jsforce is served and refused as it should be");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
