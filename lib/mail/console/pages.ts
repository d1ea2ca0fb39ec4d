import { createHash } from 'node:crypto'
import { escapeHtml } from '../plain-text.js'
import type { KeptMail } from './mailbox.js'

const STYLE = `:root{color-scheme:light dark;--line:#d5d9e0;--quiet:#5b616b;--link:#1a56c4}
@media (prefers-color-scheme:dark){:root{--line:#3a3f47;--quiet:#b4bac4;--link:#8ab4f8}}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem 1rem}
h1{font-size:1.4rem;line-height:1.3;margin:0 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:1.75rem 0 .5rem}
a{color:var(--link)}
ul{list-style:none;margin:0;padding:0;border-top:1px solid var(--line)}
li{border-bottom:1px solid var(--line)}
li a{display:block;padding:.75rem .25rem;text-decoration:none;color:inherit}
li a:hover,li a:focus-visible{background:color-mix(in srgb,var(--link) 10%,transparent)}
strong{display:block;overflow-wrap:anywhere}
.quiet{color:var(--quiet);overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:0}
dt{color:var(--quiet)}
dd{margin:0;overflow-wrap:anywhere}
iframe{box-sizing:border-box;width:100%;height:40rem;border:1px solid var(--line);border-radius:8px;background:#fff}
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:8px;padding:1rem;margin:0}`

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64')

/** Content security policy of the pages: one style, no scripts, and frames of this server only. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** Content security policy of a mail: inline styles, no scripts, no requests, and an origin of its own. */
export const MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

/** URL in the plain text of a mail. */
const LINK = /^https?:\/\/[^\s<>"']+$/gm

/** Returns the page with the list of mails. `path` is its path. */
export function listPage (mails: readonly KeptMail[], path: string): string {
  const rows = mails.map(
    ({ id, to, subject, time }) => `<li><a href="${escapeHtml(path)}/${id}"><strong>${escapeHtml(subject)}</strong>
<span class="quiet">to ${escapeHtml(to)} · ${shortTime(time)}</span></a></li>`
  )
  const list = rows.length > 0
    ? `<ul>\n${rows.join('\n')}\n</ul>`
    : '<p class="quiet">No mails yet. Register a user, or request a new password, and reload this page.</p>'
  return page('Mails', `<h1>Mails</h1>
<p class="quiet">These mails were not sent. The newest is first, and this process keeps the last 100.</p>
${list}`)
}

/** Returns the page of one mail: its header, its HTML in a frame, and its plain text. */
export function mailPage (mail: KeptMail, path: string): string {
  const { id, from, to, subject, text, kind, language, time } = mail
  const header = { From: from, To: to, Time: shortTime(time), Kind: kind, Language: language }
  const terms = Object.entries(header).map(([term, value]) => `<dt>${term}</dt><dd>${escapeHtml(value)}</dd>`)
  return page(subject, `<p><a href="${escapeHtml(path)}">All mails</a></p>
<h1>${escapeHtml(subject)}</h1>
<dl>\n${terms.join('\n')}\n</dl>
<h2>HTML</h2>
<iframe sandbox src="${escapeHtml(path)}/${id}/html" title="HTML of the mail"></iframe>
<h2>Plain text</h2>
<pre>${linkUrls(text)}</pre>`)
}

/** Returns escaped text whose URLs are links. */
function linkUrls (text: string): string {
  let html = ''
  let end = 0
  for (const { 0: url, index } of text.matchAll(LINK)) {
    html += `${escapeHtml(text.slice(end, index))}<a href="${escapeHtml(url)}" rel="noreferrer">${escapeHtml(url)}</a>`
    end = index + url.length
  }
  return html + escapeHtml(text.slice(end))
}

function shortTime (time: Date): string {
  return `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

function page (title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`
}
