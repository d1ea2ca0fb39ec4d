// Runs test files without the process of `tap`: that one adds loader hooks to each process and writes a report of each
// assertion, which costs as much CPU time as a small test file. Files share a few processes (run-group.mjs). The
// results are counted as `tap` counts them.
import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { Parser } from 'tap-parser'
import { FILE_COMMENT } from './run-group.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** The limit of each process, as that of each file in .taprc. */
const TIMEOUT_SECONDS = 900
/** A file that changes the state of its process runs in a process of its own. */
const CHANGES_PROCESS = /\bprocess\.|\bglobalThis\.|\bt\.(?:capture|intercept|mock)/
/** Number of processes that run at the same time: while one waits for a timer, the others use all cores. */
const PROCESSES = availableParallelism() + 1

/** Runs files in parallel, prints failures and totals, and returns the exit code. Paths are relative to the root. */
export async function runDirectly (files) {
  const start = Date.now()
  const totals = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
  const waiting = formGroups(files)
  const failedFiles = []
  let processes = 0

  async function work () {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      const finished = await runGroup(group, String(++processes), (file, result) => {
        for (const name of Object.keys(totals)) totals[name] += result.counts[name]
        if (!result.ok) failedFiles.push(file)
        printResult(file, result)
      })
      // the process ended within a file: the files after it run in another one
      if (finished < group.length) waiting.unshift(group.slice(finished))
    }
  }

  await Promise.all(Array.from({ length: PROCESSES }, work))
  console.log(`\n${files.length} files in ${((Date.now() - start) / 1000).toFixed(1)} s:`, totals)
  if (failedFiles.length > 0) console.log(`failed: ${failedFiles.join(' ')}`)
  return failedFiles.length > 0 ? 1 : 0
}

/** Distributes files over groups of about the same size. Large groups come first, so that all cores end together. */
function formGroups (files) {
  const shared = Array.from({ length: PROCESSES }, () => ({ size: 0, files: [] }))
  const alone = []
  for (const file of [...files].sort((a, b) => sizeOf(b) - sizeOf(a))) {
    let group = { size: 0, files: [] }
    if (CHANGES_PROCESS.test(readFileSync(join(root, file), 'utf8'))) alone.push(group)
    else group = shared.reduce((smallest, other) => (other.size < smallest.size ? other : smallest))
    group.size += sizeOf(file)
    group.files.push(file)
  }
  return [...shared, ...alone]
    .filter((group) => group.files.length > 0)
    .sort((a, b) => b.size - a.size)
    .map((group) => group.files)
}

/**
 * Runs files one after another in one process and reports each of them. Returns the number of files that began. If the
 * process ended too early, the last one that began has failed, and the files after it have not run.
 */
async function runGroup (files, name, report) {
  const child = spawn(process.execPath, ['--enable-source-maps', 'test/run-group.mjs', name], {
    cwd: root,
    env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(TIMEOUT_SECONDS), TEST_FILES: JSON.stringify(files) },
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
  const last = await readResults(child.stdout, files[0], (result) => report(result.file, { ...result, errors }))
  const exitCode = await exit
  const count = files.indexOf(last.file) + 1
  // after a failed assertion of any file, tap sets the exit code to 1
  const ended = exitCode === 0 || (exitCode === 1 && count === files.length && last.failedBefore)
  report(last.file, { ...last, ok: last.ok && ended, errors, exitCode })
  return count
}

/**
 * Reads the TAP text of a group to its end. Calls `report` with the result of each file when the next one begins.
 * Returns the result of the last one that began. A file fails if an assertion or a test fails, or if it has none.
 */
function readResults (stdout, firstFile, report) {
  const parser = new Parser()
  const begin = (file, failedBefore) => {
    const counts = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
    return { file, failedBefore, counts, failures: [], skips: [], failedTests: 0, start: Date.now() }
  }
  const finish = (result) => {
    const { counts, failedTests, start } = result
    const ok = counts.fail === 0 && failedTests === 0 && counts.total > 0
    return { ...result, ok, seconds: ((Date.now() - start) / 1000).toFixed(1) }
  }
  let current = begin(firstFile, false)
  parser.on('comment', (comment) => {
    const text = comment.replace(/^# /, '').trim()
    if (!text.startsWith(FILE_COMMENT)) return
    const file = text.slice(FILE_COMMENT.length)
    if (file === firstFile) return
    const result = finish(current)
    report(result)
    current = begin(file, result.failedBefore || !result.ok)
  })
  parser.on('result', (assertion) => {
    const { counts, failures, skips } = current
    const kind = assertion.todo ? 'todo' : assertion.skip ? 'skip' : assertion.ok ? 'pass' : 'fail'
    counts.total++
    counts[kind]++
    if (kind === 'fail') failures.push(assertion)
    if (kind === 'skip') skips.push(assertion)
  })
  parser.on('assert', ({ ok, todo, skip }) => {
    if (!ok && !todo && !skip) current.failedTests++
  })
  stdout.setEncoding('utf8').pipe(parser)
  return new Promise((resolve) => parser.on('complete', () => resolve(finish(current))))
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
  if (exitCode !== undefined) console.log(`exit code ${exitCode}`)
  if (errors) console.log(errors)
}

function sizeOf (file) {
  return statSync(join(root, file)).size
}
