import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { root } from './root.js'

/**
 * Builds the package as it is published, and copies its examples, into a folder, where programs import it as
 * `fastify-users`. Returns the modules of each file of the package.
 */
export function buildPackage (folder: string): Record<string, string[]> {
  for (const source of ['lib', 'schemas', 'examples']) {
    cpSync(join(root, 'dist', source), join(folder, source), {
      recursive: true,
      filter: (path) => !path.endsWith('.map')
    })
  }
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, unknown> }
  const exports = Object.fromEntries(
    Object.entries(manifest.exports)
      .filter((entry): entry is [string, { default: string }] => typeof entry[1] !== 'string')
      .map(([path, { default: file }]) => [path, file.replace('./dist/', './')])
  )
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'fastify-users', type: 'module', exports }))
  const modules = execFileSync(process.execPath, [join(root, 'build/bundle.mjs'), folder], { encoding: 'utf8' })
  return JSON.parse(modules) as Record<string, string[]> // the build script prints this
}

/** Returns TypeScript code as JavaScript. */
export function transpile (text: string): string {
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  return ts.transpileModule(text, { compilerOptions }).outputText
}
