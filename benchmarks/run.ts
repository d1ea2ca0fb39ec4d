// Measures the cost of guarded requests, logins, registrations and starts. See README.md in this folder.
import { CASES, STARTS } from './cases.js'
import { readArguments, USAGE } from './harness/arguments.js'
import { chooseCores } from './harness/cores.js'
import { measureGrowth } from './harness/growth.js'
import { installLibraries } from './harness/libraries.js'
import { describeMachine, readVersions } from './harness/machine.js'
import { measureMemory } from './harness/memory.js'
import { readResults, saveResults, type Results } from './harness/results.js'
import { runCases } from './harness/run-cases.js'
import type { RunOptions } from './harness/scene.js'
import { measureStarts } from './harness/starts.js'
import { writeTables } from './harness/table.js'

const NAMES = [...CASES.map(({ name }) => name), ...STARTS]
const STARTS_MEASURED = 11

const args = readArguments(process.argv.slice(2))
if (args.help) console.log(USAGE)
else if (args.list) console.log(NAMES.join('\n'))
else await measure()

async function measure (): Promise<void> {
  const wanted = chooseNames()
  const cases = CASES.filter(({ name }) => wanted.has(name))
  const starts = STARTS.filter((name) => wanted.has(name))
  if (cases.some(({ contender }) => contender.startsWith('libraries/'))) installLibraries(report)
  const cores = chooseCores()
  if (cores === null) console.error('taskset or a second core is missing: processes are not pinned to cores')
  const deadline = performance.now() + args.minutes * 60_000 - 10_000 // ten seconds to end all processes
  const options: RunOptions = { ...args, cores, deadline, report, interrupted: false }
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    versions: readVersions(),
    machine: describeMachine(cores !== null),
    rounds: 0,
    cases: [],
    skipped: [],
    growth: [],
    memory: []
  }
  if (starts.length > 0) {
    const measured = await measureStarts([...new Set([STARTS[0], ...starts])], STARTS_MEASURED, options)
    results.cases.push(...measured.results)
    results.skipped.push(...measured.skipped)
  }
  if (cases.length > 0) {
    const measured = await runCases(cases, options)
    results.rounds = measured.rounds
    results.cases.push(...measured.results)
    results.skipped.push(...measured.skipped)
  }
  if (wanted.has('growth')) {
    const measured = await measureGrowth(options)
    results.growth.push(...measured.results)
    results.skipped.push(...measured.skipped)
  }
  if (wanted.has('memory')) {
    const measured = await measureMemory(options)
    results.memory.push(...measured.memory)
    results.skipped.push(...measured.skipped)
  }
  results.cases.sort((a, b) => NAMES.indexOf(a.name) - NAMES.indexOf(b.name))
  report('')
  console.log(writeTables(results))
  if (args.save) saveResults(results, NAMES)
}

/** Returns the names of the cases that the command line asks for. */
function chooseNames (): Set<string> {
  const all = [...NAMES, 'growth', 'memory']
  const stored = new Set(readResults()?.cases.map(({ name }) => name))
  const patterns = args.names.length === 0 ? NAMES : args.names
  const names = patterns.flatMap((pattern) => {
    const found = all.filter((name) => matches(pattern, name))
    if (found.length === 0) throw new Error(`no case ${pattern}: see --list`)
    return found
  })
  return new Set(args.missing ? names.filter((name) => !stored.has(name)) : names)
}

function matches (pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

/** Prints progress: on a terminal in one line, otherwise only complete rounds. */
function report (text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
  else if (/^round|install|npm/.test(text)) console.error(text)
}
