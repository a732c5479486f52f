// Validates custom resources against their own schemas, and for fields that these do not have (which an operator would drop
// without a word): the types made of the same schemas know them. Reads a JSON list of objects, prints a JSON list of sentences.
//
// Usage: node crds.mjs FOLDER < objects.json     (FOLDER/node_modules holds typescript and the schemas' packages)
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const folder = resolve(process.argv[2]);
const require = createRequire(resolve(folder, "_.js"));
const PACKAGES = { "keda.sh": "keda", "monitoring.coreos.com": "prometheus-operator", "cert-manager.io": "cert-manager" };

function place(object) {
  const name = PACKAGES[object.apiVersion.split("/")[0]] ?? "none";
  return resolve(folder, "node_modules/@kubernetes-models", name, object.apiVersion, object.kind);
}

function named(object) {
  return `${object.kind} ${object.metadata.name}`;
}

/** What the schemas say. */
function invalid(object) {
  try {
    new (require(place(object))[object.kind])(object).validate();
    return [];
  } catch (error) {
    return [`${named(object)}: ${error.message}`];
  }
}

/** Fields that the types do not know: a line for each object, in a file that is compiled and thrown away. */
function unknown(objects) {
  const ts = require("typescript");
  const file = resolve(folder, `custom-resources-${process.pid}.ts`);
  const imports = objects.map((one, i) => `import { ${one.kind} as K${i} } from ${JSON.stringify(place(one))};`);
  // A model knows its own apiVersion and kind.
  const uses = objects.map(({ apiVersion, kind, ...rest }, i) => `new K${i}(${JSON.stringify(rest)});`);
  writeFileSync(file, [...imports, ...uses, ""].join("\n"));
  try {
    const options = { noEmit: true, strict: true, skipLibCheck: true, types: [], module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler };
    const found = ts.getPreEmitDiagnostics(ts.createProgram([file], options));
    return found.map((one) => {
      const text = ts.flattenDiagnosticMessageText(one.messageText, " ").split(" does not exist in type ")[0];
      const at = one.file ? one.file.getLineAndCharacterOfPosition(one.start).line - imports.length : -1;
      return `${objects[at] ? named(objects[at]) : "custom resources"}: ${text}`;
    });
  } finally {
    rmSync(file);
  }
}

const objects = JSON.parse(readFileSync(0, "utf8"));
const [known, foreign] = [[], []];
for (const object of objects) (existsSync(`${place(object)}.js`) ? known : foreign).push(object);
const problems = known.map(invalid);
const valid = known.filter((_, i) => !problems[i].length);
console.log(JSON.stringify([
  ...foreign.map((object) => `${named(object)}: no schema of ${object.apiVersion} ${object.kind} in ${folder}`),
  ...problems.flat(),
  ...(valid.length ? unknown(valid) : []),
]));
