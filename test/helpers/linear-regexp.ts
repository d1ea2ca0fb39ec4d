type Tree =
  | { kind: 'letter'; fits: RegExp }
  | { kind: 'start' | 'assertion' }
  | { kind: 'sequence' | 'choice'; parts: Tree[] }
  | { kind: 'repetition'; of: Tree; min: number; max: number }
interface Part {
  empty: boolean
  first: number[]
  last: number[]
}
interface Automaton {
  letters: RegExp[]
  follow: number[][]
}

/** One character of each class that the expressions distinguish. */
const ALPHABET = [
  ...Array.from({ length: 0x250 }, (_, code) => String.fromCharCode(code)),
  '\u0301',
  '\u2028',
  '\u3000',
  '\uff21',
  '\u4e2d',
  '\u0660',
  '\ud800',
  '\u{1f600}'
]
const TOKEN =
  /\\p\{[^}]*\}|\\u\{[^}]*\}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\.|\[(?:\\.|[^\]\\])*\]|\(\?(?:[:=!]|<[=!])|[*+?]\??|\{\d+(?:,\d*)?\}\??|[^]/giu
const MOST_COPIES = 3
const ANY: Tree = { kind: 'letter', fits: /^[^]$/u }

/**
 * Returns the growth of the time of a backtracking match, or null if it is linear. The expression becomes an automaton
 * with a state for each character that it consumes. The time is not linear if the same text has several paths: two
 * paths from a state to itself (exponential), or a path from one loop to another loop with the same text (polynomial).
 * Counted repetitions are limited to three copies. Assertions count as empty, which can only add paths.
 */
export function slownessOf ({ source, flags }: RegExp): 'exponential' | 'polynomial' | null {
  const tree = parse(source, flags.replace(/[gyd]/g, ''))
  const choices = tree.kind === 'choice' ? tree.parts : [tree]
  const isAnchored = choices.every((choice) => choice.kind === 'sequence' && choice.parts[0]?.kind === 'start')
  const takesAll = source.endsWith('|[\\s\\S]') // matches at every position
  const automaton: Automaton = { letters: [], follow: [] }
  const unanchored: Tree = { kind: 'sequence', parts: [{ kind: 'repetition', of: ANY, min: 0, max: Infinity }, tree] }
  const { last } = build(isAnchored || takesAll ? tree : unanchored, automaton)
  const final = new Set(hasAssertion(tree) ? [] : last) // a final state has matched, so no backtracking follows
  const follow = automaton.follow.map((next, state) => (final.has(state) ? [] : next.filter((one) => !final.has(one))))
  const kinds = [
    ...new Map(
      ALPHABET.map((letter) => automaton.letters.map((fits) => fits.test(letter))).map((fits) => [String(fits), fits])
    ).values()
  ]
  const steps = kinds.map((fits) => follow.map((next) => next.filter((state) => fits[state])))
  return isExponential(follow, steps) ? 'exponential' : isPolynomial(follow, steps) ? 'polynomial' : null
}

function parse (source: string, flags: string): Tree {
  const tokens = source.match(TOKEN) ?? []
  let at = 0
  function choice (): Tree {
    const parts: Tree[][] = [[]]
    for (; at < tokens.length && tokens[at] !== ')'; at++) {
      const token = tokens[at] as string
      const current = parts.at(-1) as Tree[]
      const [, min, comma, max] = /^\{(\d+)(,?)(\d*)\}/.exec(token) ?? []
      if (token === '|') parts.push([])
      else if (/^[*+?]/.test(token)) {
        current.push({
          kind: 'repetition',
          of: current.pop() as Tree,
          min: token[0] === '+' ? 1 : 0,
          max: token[0] === '?' ? 1 : Infinity
        })
      } else if (min !== undefined) {
        current.push({
          kind: 'repetition',
          of: current.pop() as Tree,
          min: Number(min),
          max: comma === '' ? Number(min) : max === '' ? Infinity : Number(max)
        })
      } else current.push(atom(token))
    }
    const sequences = parts.map((list): Tree => ({ kind: 'sequence', parts: list }))
    return sequences.length === 1 ? (sequences[0] as Tree) : { kind: 'choice', parts: sequences }
  }
  function atom (token: string): Tree {
    if (token.startsWith('(')) {
      at++
      const inner = choice()
      return /^\(\?<?[=!]/.test(token) ? { kind: 'assertion' } : inner
    }
    if (token === '^') return { kind: 'start' }
    return ['$', '\\b', '\\B'].includes(token)
      ? { kind: 'assertion' }
      : { kind: 'letter', fits: new RegExp(`^(?:${token})$`, flags) }
  }
  return choice()
}

function hasAssertion (tree: Tree): boolean {
  if (tree.kind === 'repetition') return hasAssertion(tree.of)
  return 'parts' in tree ? tree.parts.some(hasAssertion) : tree.kind === 'assertion'
}

/**
 * Adds the states of an expression to the automaton. Returns its first and last states (Glushkov). Successors with two
 * paths occur twice.
 */
function build (tree: Tree, automaton: Automaton): Part {
  const { letters, follow } = automaton
  const nothing: Part = { empty: true, first: [], last: [] }
  const join = (a: Part, b: Part): Part => {
    for (const end of a.last) follow[end]?.push(...b.first)
    return {
      empty: a.empty && b.empty,
      first: a.empty ? [...a.first, ...b.first] : a.first,
      last: b.empty ? [...a.last, ...b.last] : b.last
    }
  }
  if (tree.kind === 'letter') {
    const state = letters.push(tree.fits) - 1
    follow.push([])
    return { empty: false, first: [state], last: [state] }
  }
  if (tree.kind === 'sequence') return tree.parts.map((part) => build(part, automaton)).reduce(join, nothing)
  if (tree.kind === 'choice') {
    return tree.parts
      .map((part) => build(part, automaton))
      .reduce((a, b) => ({ empty: a.empty || b.empty, first: [...a.first, ...b.first], last: [...a.last, ...b.last] }))
  }
  if (tree.kind !== 'repetition') return nothing
  const { of, min, max } = tree
  const optional = (copies: number): Part =>
    copies <= 0 ? nothing : { ...join(build(of, automaton), optional(copies - 1)), empty: true }
  const loop = (): Part => {
    const part = build(of, automaton)
    for (const end of part.last) follow[end]?.push(...part.first)
    return { ...part, empty: true }
  }
  const needed = Array.from({ length: Math.min(min, MOST_COPIES) }, () => build(of, automaton)).reduce(join, nothing)
  return join(needed, max === Infinity ? loop() : optional(Math.min(max - min, MOST_COPIES)))
}

function reachable<T> (from: T, next: (node: T) => Iterable<T>): Set<T> {
  const seen = new Set<T>()
  const waiting = [from]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    for (const one of next(node)) {
      if (!seen.has(one)) waiting.push(one)
      seen.add(one)
    }
  }
  return seen
}

function isExponential (follow: readonly number[][], steps: readonly number[][][]): boolean {
  const size = follow.length
  const loops = (a: number, b: number): boolean => reachable(b, (state) => follow[state] ?? []).has(a)
  if (
    follow.some((next, state) => next.some((one, i) => next.indexOf(one) !== i && (one === state || loops(state, one))))
  ) {
    return true
  }
  const pairs = (pair: number): number[] =>
    steps.flatMap((step) =>
      (step[Math.floor(pair / size)] ?? []).flatMap((a) => (step[pair % size] ?? []).map((b) => a * size + b))
    )
  return follow.some((_, state) => {
    const same = state * size + state
    return [...reachable(same, pairs)].some(
      (pair) => Math.floor(pair / size) !== pair % size && reachable(pair, pairs).has(same)
    )
  })
}

function isPolynomial (follow: readonly number[][], steps: readonly number[][][]): boolean {
  const size = follow.length
  const reached = follow.map((_, state) => reachable(state, (one) => follow[one] ?? []))
  const triples = (triple: number): number[] =>
    steps.flatMap((step) =>
      (step[Math.floor(triple / size / size)] ?? []).flatMap((a) =>
        (step[Math.floor(triple / size) % size] ?? []).flatMap((b) =>
          (step[triple % size] ?? []).map((c) => (a * size + b) * size + c)
        )
      )
    )
  return follow.some(
    (_, p) =>
      reached[p]?.has(p) === true &&
      follow.some(
        (_, q) =>
          p !== q &&
          reached[q]?.has(q) === true &&
          reached[p]?.has(q) === true &&
          reachable((p * size + p) * size + q, triples).has((p * size + q) * size + q)
      )
  )
}
