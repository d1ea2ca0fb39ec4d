// Prints which rows of docs/contributing/behaviour.md and which rules of docs/contributing/security-rules.md the tests
// show. A rule without a part has a reason on its page instead of a test. A test names rows and rules before the first
// colon of its title: `row 7: …`, `rows 10, 12: …`, `rows 30-34: …`, `CFG-01, CFG-02: …`, `row 21, JWT-01: …`. A row or
// rule is shown if a passing test without skipped parts names it, and no failing test names it.
//
//   node test/scoreboard.mjs           runs the suite, then prints
//   node test/scoreboard.mjs --last    prints from the results of the last `npm run unit` or `npm test`
//   node test/scoreboard.mjs --count   prints only `N passed, N failed` of these results
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { countResults, judge, parseResults } from './results.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const resultsFile = fileURLToPath(new URL('../.tap/results.tap', import.meta.url))

/**
 * Returns the ids and titles that a page of docs/contributing lists; each match of the pattern is an id and a title.
 */
function readTitles (page, pattern) {
  const text = readFileSync(join(root, 'docs/contributing', page), 'utf8')
  return Object.fromEntries([...text.matchAll(pattern)].map(([, id, title]) => [id, title]))
}

/** Reads what the pages list. */
export function readLists () {
  return {
    rows: readTitles('behaviour.md', /^\| (\d+) \| ([^|]+) \|/gm),
    rules: readTitles('security-rules.md', /^- \*\*([A-Z]+-\d\d)\*\* \((?:must|should)\) \*\*(.+?)\.\*\*/gm),
    reasons: readTitles('security-rules.md', /^\| ([A-Z]+-\d\d) \| (.+) \|$/gm)
  }
}

function printTable (table, verdicts, label, reasons = {}) {
  const isShown = ({ passing, failing }) => passing > 0 && failing.length === 0
  for (const [id, words] of Object.entries(table)) {
    const verdict = verdicts.get(id)
    const because = verdict.failing.length > 0 ? `  (fails: ${verdict.failing[0]})` : ''
    const state = isShown(verdict) ? 'shown    ' : id in reasons ? 'no part  ' : 'not shown'
    console.log(`${label(id)}  ${state}  ${words}${because}`)
  }
  return Object.keys(table).filter((id) => isShown(verdicts.get(id))).length
}

function main (mode) {
  if (mode === undefined) spawnSync('npm', ['run', '--silent', 'unit'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (!existsSync(resultsFile)) {
    console.error('There are no results yet: run `npm run unit` first.')
    process.exit(1)
  }
  const results = parseResults(readFileSync(resultsFile, 'utf8'))
  if (mode === '--count') {
    const { passed, failed } = countResults(results)
    console.log(`${passed} passed, ${failed} failed`)
    return
  }
  const { rows, rules, reasons } = readLists()
  const { verdicts, unknown } = judge(results, [...Object.keys(rows), ...Object.keys(rules)])
  const shownRows = printTable(rows, verdicts, (id) => `row ${id.padStart(2)}`)
  const shownRules = printTable(rules, verdicts, (id) => id.padEnd(7), reasons)
  for (const name of unknown) console.log(`there is no ${name}`)
  console.log(
    `shown ${shownRows} of ${Object.keys(rows).length} rows, ${shownRules} of ${Object.keys(rules).length} rules; ` +
      `${Object.keys(reasons).length} rules have no part`
  )
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv[2])
