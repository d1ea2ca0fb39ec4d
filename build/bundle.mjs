// Replaces the compiled modules of the package by one file per entry and by chunks that entries share, so that an
// application loads about 20 files instead of 400. TypeBox, which consists of 200 modules, becomes part of the chunks;
// all other dependencies stay imports. The declaration files are not changed. The argument is the folder
// that contains the compiled folders `lib` and `schemas`; the default is `dist`.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const COMMONJS = 'fastify-users:packages' // stands for lib/packages.cjs until the place of each file is known
const typebox = fileURLToPath(import.meta.resolve('@sinclair/typebox'))

/** Returns the files that package.json names, relative to its folder `dist`. */
function entryFiles () {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const files = [...Object.values(exports).map((entry) => entry.default), ...Object.values(bin)]
  return files.filter((file) => file !== undefined).map((file) => relative('dist', file))
}

/** Bundles the compiled package of a folder in place. Returns the modules of each file that remains. */
async function bundle (folder) {
  const { metafile, outputFiles } = await build({
    absWorkingDir: folder,
    entryPoints: entryFiles(),
    outbase: '.',
    outdir: '.',
    write: false,
    bundle: true,
    splitting: true,
    chunkNames: 'lib/chunks/[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    metafile: true,
    logLevel: 'warning',
    plugins: [
      {
        name: 'dependencies',
        setup ({ onResolve }) {
          onResolve({ filter: /\/packages\.cjs$/ }, () => ({ path: COMMONJS, external: true }))
          onResolve({ filter: /^@sinclair\/typebox$/ }, () => ({ path: typebox, sideEffects: false }))
        }
      }
    ]
  })
  deleteModules(folder)
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true })
    const commonjs = relative(dirname(path), join(folder, 'lib/packages.cjs'))
    writeFileSync(path, text.replaceAll(`"${COMMONJS}"`, `"${commonjs.startsWith('.') ? '' : './'}${commonjs}"`))
  }
  copyFileSync(join(typebox, '../../../license'), join(folder, 'lib/chunks/typebox-license.txt'))
  return Object.fromEntries(
    Object.entries(metafile.outputs).map(([file, { inputs }]) => [file, Object.keys(inputs)])
  )
}

/** Deletes the compiled modules, and the source maps that the compilation for tests makes. */
function deleteModules (folder) {
  for (const source of ['lib', 'schemas']) {
    for (const name of readdirSync(join(folder, source), { recursive: true })) {
      if (/\.js(\.map)?$/.test(name)) rmSync(join(folder, source, name))
    }
  }
}

const [, , folder] = process.argv
const modules = await bundle(folder ?? join(root, 'dist'))
if (folder !== undefined) console.log(JSON.stringify(modules)) // the tests read it
