// Results of the tests, and the rows and rules that their titles name.
import { Parser } from 'tap-parser'

/** The results of a TAP text as a tree: a test has `children`, an assertion has none. */
export function parseResults (tap) {
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

export function countResults (node) {
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
export function namedIds (title) {
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

export function * allTests (node) {
  for (const child of node.children.filter(isTest)) {
    yield child
    yield * allTests(child)
  }
}

/** Returns true if a test passed, and no part of it was skipped. */
export const passes = (test) => test.ok && !anySkipped(test) && countAssertions(test) > 0

export function judge (results, ids) {
  const verdicts = new Map([...ids].map((id) => [id, { passing: 0, failing: [] }]))
  const unknown = []
  for (const test of allTests(results)) {
    for (const id of namedIds(test.title)) {
      const verdict = verdicts.get(id)
      if (verdict === undefined) unknown.push(`${id} in "${test.title}"`)
      else if (!test.ok) verdict.failing.push(test.title)
      else if (passes(test)) verdict.passing++
    }
  }
  return { verdicts, unknown }
}
