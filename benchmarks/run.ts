// Measures the cost of guarded requests, logins, registrations and starts. See README.md in this folder.
import { CASES, type Case } from './cases.js'
import { readArguments, USAGE } from './harness/arguments.js'
import { chooseCores } from './harness/cores.js'
import { describeMachine } from './harness/machine.js'
import { runCases } from './harness/run-cases.js'
import { printTable } from './helpers/statistics.js'

const args = readArguments(process.argv.slice(2))
if (args.help) console.log(USAGE)
else if (args.list) for (const { name } of CASES) console.log(name)
else {
  const isWanted = ({ name }: Case): boolean => args.names.some((pattern) => matches(pattern, name))
  const wanted = args.names.length === 0 ? CASES : CASES.filter(isWanted)
  const cores = chooseCores()
  const { rounds, results, skipped } = await runCases(wanted, {
    ...args,
    cores,
    deadline: performance.now() + args.minutes * 60_000,
    report
  })
  report('')
  const machine = describeMachine(cores !== null)
  printTable(`${machine.cpu}, ${machine.cores} cores${machine.pinned ? '' : ', processes NOT pinned'}; ${rounds} rounds`, [
    ['', 'ratio (CPU)', 'quartiles', 'throughput', 'CPU µs', 'rps', 'p50 ms', 'p99 ms', 'rounds', 'left out'],
    ...results.map((each) => [
      each.name,
      each.ratio.toFixed(3),
      each.quartiles.map((value) => value.toFixed(2)).join('–'),
      each.throughputRatio.toFixed(3),
      each.cpuMicroseconds.toFixed(1),
      each.rps.toFixed(0),
      each.p50.toFixed(2),
      each.p99.toFixed(2),
      String(each.rounds),
      String(each.leftOut)
    ])
  ])
  for (const { name, reason } of skipped) console.log(`  skipped ${name}: ${reason}`)
}

function matches (pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

function report (text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
  else if (text.startsWith('round')) console.error(text)
}
