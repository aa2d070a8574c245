// Validates an AsyncAPI document with the public parser. Prints what is wrong, and exits with 1.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const errors = diagnostics.filter((d) => d.severity === 0);
for (const d of errors) console.error(d.path.join("."), d.message);
process.exit(document && errors.length === 0 ? 0 : 1);
