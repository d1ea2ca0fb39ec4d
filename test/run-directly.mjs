// Runs test files without the process of `tap`: that one adds loader hooks to each process and writes a report of each
// assertion, which costs as much CPU time as a small test file. The results are counted as `tap` counts them.
import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { Parser } from 'tap-parser'

const root = fileURLToPath(new URL('..', import.meta.url))
/** The limit of each file, as in .taprc. */
const TIMEOUT_SECONDS = 900

/**
 * Runs files in parallel, prints failures and totals, and returns the exit code. Paths are relative to the root.
 * Large files start first, so that the last files are short.
 */
export async function runDirectly (files) {
  const start = Date.now()
  const totals = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
  const waiting = [...files].sort((a, b) => sizeOf(b) - sizeOf(a))
  const failedFiles = []

  async function work () {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const result = await runFile(file)
      for (const name of Object.keys(totals)) totals[name] += result.counts[name]
      if (!result.ok) failedFiles.push(file)
      printResult(file, result)
    }
  }

  await Promise.all(Array.from({ length: availableParallelism() + 1 }, work))
  console.log(`\n${files.length} files in ${secondsSince(start)} s:`, totals)
  if (failedFiles.length > 0) console.log(`failed: ${failedFiles.join(' ')}`)
  return failedFiles.length > 0 ? 1 : 0
}

/** Runs one file. It fails if an assertion fails, if it ends too early, or if its exit code is not 0. */
async function runFile (file) {
  const start = Date.now()
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    cwd: root,
    env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(TIMEOUT_SECONDS) },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: (TIMEOUT_SECONDS + 10) * 1000,
    killSignal: 'SIGKILL'
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text
  })
  const exit = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(signal ?? code))
  })
  const results = await readResults(child.stdout)
  const exitCode = await exit
  return { ...results, ok: results.ok && exitCode === 0, errors, exitCode, seconds: secondsSince(start) }
}

/** Reads TAP to its end. Returns the number of assertions of each kind, and those that failed or were skipped. */
function readResults (stdout) {
  const counts = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
  const failures = []
  const skips = []
  const parser = new Parser()
  parser.on('result', (assertion) => {
    const kind = assertion.todo ? 'todo' : assertion.skip ? 'skip' : assertion.ok ? 'pass' : 'fail'
    counts.total++
    counts[kind]++
    if (kind === 'fail') failures.push(assertion)
    if (kind === 'skip') skips.push(assertion)
  })
  stdout.setEncoding('utf8').pipe(parser)
  return new Promise((resolve) => parser.on('complete', ({ ok }) => resolve({ ok, counts, failures, skips })))
}

/** Prints one line for a file and for each skipped test, and the failures and warnings of a file that failed. */
function printResult (file, { ok, counts, failures, skips, errors, exitCode, seconds }) {
  console.log(`${ok ? 'ok' : 'not ok'} ${file} (${counts.total} assertions, ${seconds} s)`)
  for (const { fullname, skip } of skips) console.log(`  skipped: ${fullname} (${skip})`)
  if (ok) return
  for (const { fullname, diag } of failures) {
    console.log(`\nnot ok ${fullname}`)
    for (const [name, value] of Object.entries(diag ?? {}).filter(([name]) => name !== 'at')) {
      console.log(`${name}: ${typeof value === 'string' ? value : inspect(value)}`)
    }
  }
  console.log(`exit code ${exitCode}`)
  if (errors) console.log(errors)
}

function sizeOf (file) {
  return statSync(join(root, file)).size
}

function secondsSince (start) {
  return ((Date.now() - start) / 1000).toFixed(1)
}
