import { findLibraries, findPairs } from './pairs.js'
import type { Results } from './results.js'

interface Bar {
  label: string
  value: number
  kind: 'ours' | 'hand' | 'other'
}

const WIDTH = 760
const LEFT = 280
const SCALE = WIDTH - LEFT - 60
const BAR = 11
const GAP = 9
const TOP = 62

// the card has its own background, so the text is readable on light and dark pages
const STYLE = `
.card { fill: #ffffff; stroke: #d0d7de }
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 14px; font-weight: 600 }
.note, .value { fill: #59636e; font-size: 11px }
.ours { fill: #0969da }
.hand { fill: #8c959f }
.other { fill: #bc8c00 }
.line { stroke: #d0d7de }
@media (prefers-color-scheme: dark) {
  .card { fill: #0d1117; stroke: #3d444d }
  text { fill: #f0f6fc }
  .note, .value { fill: #9198a1 }
  .ours { fill: #4493f8 }
  .hand { fill: #7d8590 }
  .other { fill: #d29922 }
  .line { stroke: #3d444d }
}`

/** Draws the ratios of guarded routes: this package and hand-written guards, then other packages. */
export function drawChart ({ cases, machine, date }: Results): string {
  const groups: Bar[][] = [
    ...findPairs(cases)
      .filter(({ label, ours }) => ours.reference === 'bare' && !label.includes('statistics'))
      .map(({ label, ours, hand }): Bar[] => [
        { label, value: ours.ratio, kind: 'ours' },
        ...(hand === undefined ? [] : [{ label: '', value: hand.ratio, kind: 'hand' as const }])
      ]),
    ...findLibraries(cases).map(({ name, ratio }): Bar[] => [{ label: name, value: ratio, kind: 'other' }])
  ]
  let y = TOP
  const parts: string[] = []
  for (const bars of groups) {
    const middle = y + (bars.length * BAR) / 2
    parts.push(`<text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${escapeText(bars[0]?.label ?? '')}</text>`)
    for (const { value, kind } of bars) {
      const width = (value * SCALE).toFixed(1)
      parts.push(
        `<rect class="${kind}" x="${LEFT}" y="${y}" width="${width}" height="${BAR - 1}" rx="2"/>`,
        `<text class="value" x="${LEFT + value * SCALE + 5}" y="${y + BAR - 2}">${value.toFixed(2)}</text>`
      )
      y += BAR
    }
    y += GAP
  }
  const height = y + 20
  const rule = LEFT + SCALE
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Guarded requests compared with a route without a guard">
<style>${STYLE}
</style>
<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>
<text class="title" x="16" y="24">Guarded requests per unit of processor time; 1 = Fastify route without a guard</text>
${legend()}
<line class="line" x1="${LEFT}" x2="${LEFT}" y1="${TOP - 6}" y2="${y}"/>
<line class="line" x1="${rule}" x2="${rule}" y1="${TOP - 6}" y2="${y}" stroke-dasharray="3 3"/>
<text class="value" x="${rule}" y="${TOP - 10}" text-anchor="middle">1</text>
${parts.join('\n')}
<text class="note" x="16" y="${height - 10}">${escapeText(`${date}, ${machine.cpu}, Node.js ${machine.node}`)}</text>
</svg>
`
}

function legend (): string {
  return (
    [
      ['ours', 'fastify-users', 16],
      ['hand', 'written by hand', 130],
      ['other', 'other packages', 260]
    ] as const
  )
    .map(([kind, text, x]) => `<rect class="${kind}" x="${x}" y="35" width="10" height="10" rx="2"/><text x="${x + 15}" y="44">${text}</text>`)
    .join('')
}

function escapeText (text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
}
