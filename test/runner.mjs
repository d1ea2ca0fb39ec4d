// Runs compiled test files without the process of `tap`: that one adds loader hooks to each process and reports each
// assertion, which costs as much CPU time as a small test file. Files share a few processes, whose number does not
// change: each process asks for the next file when it has finished one. Results are counted as `tap` counts them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { TestProcess } from './test-process.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** A file that changes the state of its process runs in a process of its own. */
const CHANGES_PROCESS = /\bprocess\.|\bglobalThis\.|\bt\.(?:capture|intercept|mock)|^t\.(?:after|before)/m
/** A process that uses this much memory runs no further file. */
const MEMORY_LIMIT = 600 * 1024 * 1024

/**
 * Runs files in the given order, prints failures and totals, and returns the exit code. Paths are relative to the root.
 * `processes` is the number of files that run at the same time. `output` is the path of a TAP text with all results.
 */
export async function runFiles (files, { processes, output }) {
  const start = Date.now()
  const totals = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
  const waiting = [...files]
  const finished = []
  const running = new Set()
  const stopListening = killAtSignal(running)

  function startProcess () {
    const started = new TestProcess()
    running.add(started)
    return started
  }

  function report (results) {
    finished.push(results)
    for (const name of Object.keys(totals)) totals[name] += results.counts[name]
    printResults(results)
  }

  async function runAlone (file) {
    const child = startProcess()
    const results = await child.run(file)
    await child.end(results)
    running.delete(child)
    report(results)
  }

  /** Ends a process whose last results are reported. They are printed again if they fail because of its end. */
  async function endShared (child, last) {
    const { ok } = last
    await child.end(last)
    running.delete(child)
    if (ok && !last.ok) printResults(last)
  }

  async function work () {
    let child
    let last
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      if (changesProcess(file)) {
        await runAlone(file)
        continue
      }
      child ??= startProcess()
      const results = await child.run(file)
      if (results === undefined) {
        waiting.unshift(file)
      } else {
        last = results
        report(results)
      }
      if (child.ended || !last.ok || child.memory > MEMORY_LIMIT) {
        await endShared(child, last)
        child = undefined
      }
    }
    if (child !== undefined) await endShared(child, last)
  }

  await Promise.all(Array.from({ length: processes }, work))
  stopListening()
  if (output !== undefined) writeResults(output, finished, totals)
  console.log(`\n${finished.length} files in ${((Date.now() - start) / 1000).toFixed(1)} s:`, totals)
  const failed = finished.filter(({ ok }) => !ok).map(({ file }) => file)
  if (failed.length > 0) console.log(`failed: ${failed.join(' ')}`)
  return failed.length > 0 ? 1 : 0
}

function changesProcess (file) {
  return CHANGES_PROCESS.test(readFileSync(join(root, file), 'utf8'))
}

/** Kills all running processes if this one is ended by a signal. Returns a function that ends this. */
function killAtSignal (running) {
  const signals = ['SIGHUP', 'SIGINT', 'SIGTERM']
  const listener = (signal) => {
    for (const child of running) child.kill()
    for (const name of signals) process.off(name, listener)
    process.kill(process.pid, signal)
  }
  for (const name of signals) process.on(name, listener)
  return () => {
    for (const name of signals) process.off(name, listener)
  }
}

/** Prints one line for a file and for each skipped test, and the failures and warnings of a file that failed. */
function printResults ({ file, ok, counts, failures, skips, errors, reason, seconds }) {
  console.log(`${ok ? 'ok' : 'not ok'} ${file} (${counts.total} assertions, ${seconds} s)`)
  for (const { fullname, skip } of skips) console.log(`  skipped: ${fullname} (${skip})`)
  if (ok) return
  for (const { fullname, diag } of failures) {
    console.log(`\nnot ok ${fullname}`)
    for (const [name, value] of Object.entries(diag ?? {}).filter(([name]) => name !== 'at')) {
      console.log(`${name}: ${typeof value === 'string' ? value : inspect(value)}`)
    }
  }
  if (reason) console.log(reason)
  if (errors) console.log(errors)
}

/** Writes the results of all files as one TAP text, in which each file is a test. */
function writeResults (path, finished, totals) {
  mkdirSync(dirname(path), { recursive: true })
  const tests = finished.map((results, i) => results.toSubtest(i + 1))
  const end = [`1..${finished.length}`, `# ${inspect(totals, { breakLength: Infinity })}`, '']
  writeFileSync(path, ['TAP version 14', ...tests, ...end].join('\n'))
}
