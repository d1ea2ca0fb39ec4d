import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** Folder of the repository. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** Builds the package and its examples into a folder below the repository, where programs import it as `fastify-users`. */
export function buildPackage (folder: string): void {
  for (const source of ['lib', 'schemas', 'examples']) {
    for (const name of readdirSync(join(root, source), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))) {
      const path = join(folder, source, name.replace(/\.ts$/, '.js'))
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, transpile(readFileSync(join(root, source, name), 'utf8')))
    }
  }
  const exports = { '.': './lib/index.js', './oauth': './lib/features/oauth/index.js', './testing': './lib/testing/index.js' }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'fastify-users', type: 'module', exports }))
}

/** A module as JavaScript. */
export function transpile (text: string): string {
  return ts.transpileModule(text, { compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true } }).outputText
}
