// Prints which rows of docs/contributing/behaviour.md and which rules of docs/contributing/security-rules.md the tests
// show. Planned rules do not count. A test names them before the first colon of its title: `row 7: …`,
// `rows 10, 12: …`, `rows 30-34: …`, `CFG-01, CFG-02: …`, `row 21, JWT-01: …`. A row or rule is shown if a passing test
// without skipped parts names it, and no failing test names it.
//
//   node test/scoreboard.mjs           runs the suite, then prints
//   node test/scoreboard.mjs --last    prints from the results of the last `npm run unit` or `npm test`
//   node test/scoreboard.mjs --count   prints only `N passed, N failed` of these results
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Parser } from 'tap-parser'

const root = fileURLToPath(new URL('..', import.meta.url))
const resultsFile = fileURLToPath(new URL('../.tap/results.tap', import.meta.url))

/**
 * Returns the ids and titles that a page of docs/contributing lists; each match of the pattern is an id and a title.
 */
function readTitles (page, pattern) {
  const text = readFileSync(join(root, 'docs/contributing', page), 'utf8')
  return Object.fromEntries([...text.matchAll(pattern)].map(([, id, title]) => [id, title]))
}

/** The results of a TAP text as a tree: a test has `children`, an assertion has none. */
function parseResults (tap) {
  const top = { title: '', ok: true, skipped: false, children: [] }
  const parser = new Parser()
  collect(parser, top)
  parser.end(tap)
  return top
}

function collect (parser, node) {
  let ended
  parser.on('child', (child) => {
    ended = { title: child.name, ok: false, skipped: false, children: [] }
    collect(child, ended)
  })
  parser.on('assert', ({ name, ok, skip, todo }) => {
    node.children.push({ title: name.trim(), ok, skipped: Boolean(skip || todo), children: ended?.children })
    ended = undefined
  })
  // a test whose process ended within it has no result line: it failed
  parser.on('complete', () => {
    if (ended) node.children.push(ended)
  })
}

const isTest = (node) => node.children !== undefined
const anySkipped = (node) => node.skipped || (node.children ?? []).some(anySkipped)
const countAssertions = (node) =>
  isTest(node) ? node.children.reduce((sum, child) => sum + countAssertions(child), 0) : 1

function countResults (node) {
  if (!isTest(node)) return { passed: Number(node.ok && !node.skipped), failed: Number(!node.ok && !node.skipped) }
  const sum = { passed: 0, failed: 0 }
  for (const child of node.children) {
    const { passed, failed } = countResults(child)
    sum.passed += passed
    sum.failed += failed
  }
  // a file that crashed, or a test that never ended, fails without a failed assertion
  if (!node.ok && !node.skipped && sum.failed === 0) sum.failed = 1
  return sum
}

/** The ids that a title names: row numbers and rule ids as strings; empty for an ordinary title. */
function namedIds (title) {
  const end = title.indexOf(':')
  const ids = []
  let inRows = false
  for (const part of title.slice(0, Math.max(end, 0)).split(/, | and /)) {
    const [, word, first, last] = /^(rows? )?(\d+)(?:[-–](\d+))?$/.exec(part) ?? []
    inRows ||= word !== undefined
    if (inRows && first !== undefined) {
      for (let row = Number(first); row <= Number(last ?? first); row++) ids.push(String(row))
    } else if (/^[A-Z]+-\d\d$/.test(part)) {
      ids.push(part)
    } else {
      return []
    }
  }
  return ids
}

function * allTests (node) {
  for (const child of node.children.filter(isTest)) {
    yield child
    yield * allTests(child)
  }
}

function judge (results, ids) {
  const verdicts = new Map([...ids].map((id) => [id, { passing: 0, failing: [] }]))
  const unknown = []
  for (const test of allTests(results)) {
    for (const id of namedIds(test.title)) {
      const verdict = verdicts.get(id)
      if (verdict === undefined) unknown.push(`${id} in "${test.title}"`)
      else if (!test.ok) verdict.failing.push(test.title)
      else if (!anySkipped(test) && countAssertions(test) > 0) verdict.passing++
    }
  }
  return { verdicts, unknown }
}

function printTable (table, verdicts, label) {
  const isShown = ({ passing, failing }) => passing > 0 && failing.length === 0
  for (const [id, words] of Object.entries(table)) {
    const verdict = verdicts.get(id)
    const because = verdict.failing.length > 0 ? `  (fails: ${verdict.failing[0]})` : ''
    console.log(`${label(id)}  ${isShown(verdict) ? 'shown    ' : 'not shown'}  ${words}${because}`)
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
  const rows = readTitles('behaviour.md', /^\| (\d+) \| ([^|]+) \|/gm)
  const rules = readTitles('security-rules.md', /^- \*\*([A-Z]+-\d\d)\*\* \((?:must|should)\) \*\*(.+?)\.\*\*/gm)
  const { verdicts, unknown } = judge(results, [...Object.keys(rows), ...Object.keys(rules)])
  const shownRows = printTable(rows, verdicts, (id) => `row ${id.padStart(2)}`)
  const shownRules = printTable(rules, verdicts, (id) => id.padEnd(7))
  for (const name of unknown) console.log(`there is no ${name}`)
  console.log(
    `shown ${shownRows} of ${Object.keys(rows).length} rows, ${shownRules} of ${Object.keys(rules).length} rules`
  )
}

main(process.argv[2])
