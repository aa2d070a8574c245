// Lets the suite start on Node 20. It imports fs.globSync, which came with Node 22, and uses it only in a
// command that is not used here; without this, Node 20 refuses the import.
import { register } from 'node:module';
import * as fs from 'node:fs';

const code = (text) => 'data:text/javascript,' + encodeURIComponent(text);

if (!('globSync' in fs)) {
  const withGlob = code(`
    export * from 'node:fs';
    export const globSync = () => { throw new Error('globSync needs Node 22'); };`);
  register(code(`
    export const resolve = (specifier, context, next) =>
      specifier === 'fs' && context.parentURL?.includes('/conformance/dist/')
        ? { url: ${JSON.stringify(withGlob)}, shortCircuit: true }
        : next(specifier, context);`));
}
