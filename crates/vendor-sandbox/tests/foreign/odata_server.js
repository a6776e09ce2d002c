// SAP's own mock server of OData services, for the profile `sap-odata`: `node odata_server.js PORT`.

const http = require("node:http");
const path = require("node:path");
const FEMockserver = require("@sap-ux/fe-mockserver-core").default;

function service(urlPath, name) {
  const folder = path.join(__dirname, name);
  return {
    urlPath,
    metadataPath: path.join(folder, "metadata.xml"),
    mockdataPath: folder,
    generateMockData: false,
    validateETag: true,
  };
}

async function main() {
  const server = new FEMockserver({
    services: [
      service("/sap/opu/odata4/orders", "odata"),
      service("/sap/opu/odata/sap/ORDERS_SRV", "odata-v2"),
    ],
    annotations: [],
    plugins: [],
    contextBasedIsolation: false,
  });
  await server.isReady;
  const router = server.getRouter();
  const handle = (request, response) =>
    router(request, response, () => response.writeHead(404).end());
  http.createServer(handle).listen(Number(process.argv[2]), "127.0.0.1");
}

main();
