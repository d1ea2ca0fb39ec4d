import type { MailBody, MailContent, MailContext, MailFrame } from '../contracts/mail.js'
import { escapeHtml, headerText, oneLine } from './plain-text.js'

const FONT = "font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

/**
 * Mail programs that do not support the query ignore it. Inline styles have a higher rank than these rules, which
 * therefore need `!important`.
 */
const STYLE = `:root{color-scheme:light dark;supported-color-schemes:light dark}
@media (prefers-color-scheme:dark){
.page{background:#16181c!important}
.card{background:#22252b!important;border-color:#3a3f47!important}
.text{color:#e8eaed!important}
.quiet{color:#b4bac4!important}
.link{color:#8ab4f8!important}
.rule{border-color:#3a3f47!important}
}`

/** Returns a mail as plain text and as HTML. All strings of the content are plain text and are escaped. */
export function renderContent (content: MailContent, frame: MailFrame, context: MailContext): MailBody {
  return {
    subject: headerText(content.subject),
    text: renderText(content, frame, context),
    html: renderHtml(content, frame, context)
  }
}

function renderText (content: MailContent, frame: MailFrame, context: MailContext): string {
  const { paragraphs, details = [], action, notes = [] } = content
  const blocks = [
    ...paragraphs.map(oneLine),
    ...(details.length > 0 ? [details.map((pair) => pair.map(oneLine).join(': ')).join('\n')] : []),
    ...(action === undefined ? [] : [`${oneLine(action.label)}:\n${oneLine(action.url)}`]),
    ...notes.map(oneLine),
    `-- \n${oneLine(frame.footer(context))}`
  ]
  return `${blocks.join('\n\n')}\n`
}

/**
 * Returns simple HTML: one column of tables, because some mail programs support neither flexible boxes nor a maximum
 * width; inline styles; no images and no other remote content.
 */
function renderHtml (content: MailContent, frame: MailFrame, context: MailContext): string {
  const { subject, heading = subject, paragraphs, details = [], action, notes = [] } = content
  const direction = frame.direction ?? 'ltr'
  const show = (text: string): string => escapeHtml(oneLine(text))
  const parts = [
    `<h1 class="text" style="margin:0 0 20px;${FONT};font-size:22px;line-height:30px;font-weight:600;color:#1b1d21;overflow-wrap:anywhere">${show(heading)}</h1>`,
    ...paragraphs.map((text) => paragraphHtml(show(text))),
    details.length > 0 ? detailsHtml(details.map(([label, value]) => [show(label), show(value)])) : '',
    action === undefined ? '' : actionHtml(show(action.label), show(action.url), show(frame.linkHint)),
    ...notes.map((text) => noteHtml(show(text)))
  ]
  return `<!doctype html>
<html lang="${show(context.language)}" dir="${direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no,date=no,address=no,email=no">
<title>${show(subject)}</title>
<style>${STYLE}</style>
</head>
<body class="page" style="margin:0;padding:0;background:#f3f4f6;-webkit-text-size-adjust:100%">
<div style="display:none;max-height:0;overflow:hidden">${show(paragraphs[0] ?? '')}</div>
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0" style="background:#f3f4f6">
<tr><td align="center" style="padding:24px 12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="max-width:560px">
<tr><td class="card" style="padding:32px 28px;background:#ffffff;border:1px solid #dfe2e7;border-radius:10px;text-align:start">
<p class="quiet" style="margin:0 0 8px;${FONT};font-size:14px;line-height:20px;color:#5b616b">${show(context.service)}</p>
${parts.filter((part) => part !== '').join('\n')}
</td></tr>
<tr><td style="padding:16px 28px;text-align:start">
<p class="quiet" style="margin:0;${FONT};font-size:13px;line-height:20px;color:#5b616b">${show(frame.footer(context))}</p>
</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
`
}

function paragraphHtml (text: string): string {
  return `<p class="text" style="margin:0 0 16px;${FONT};font-size:16px;line-height:25px;color:#1b1d21;overflow-wrap:anywhere">${text}</p>`
}

function noteHtml (text: string): string {
  return `<p class="quiet" style="margin:0 0 10px;${FONT};font-size:14px;line-height:21px;color:#5b616b;overflow-wrap:anywhere">${text}</p>`
}

function detailsHtml (details: readonly (readonly string[])[]): string {
  const cell = `padding:8px 12px 8px 0;${FONT};font-size:15px;line-height:22px;vertical-align:top;border-top:1px solid #dfe2e7;text-align:start`
  const rows = details.map(
    ([label = '', value = '']) =>
      `<tr><th scope="row" class="quiet rule" style="${cell};font-weight:400;color:#5b616b;white-space:nowrap">${label}</th>` +
      `<td class="text rule" style="${cell};color:#1b1d21;overflow-wrap:anywhere" width="100%">${value}</td></tr>`
  )
  return `<table cellpadding="0" cellspacing="0" border="0" width="100%" style="margin:0 0 20px">\n${rows.join('\n')}\n</table>`
}

/** The background belongs to the cell too, because some mail programs ignore the padding of links. */
function actionHtml (label: string, url: string, hint: string): string {
  return `<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:8px 0 20px">
<tr><td bgcolor="#1a56c4" style="border-radius:6px;background:#1a56c4">
<a href="${url}" style="display:inline-block;padding:12px 22px;${FONT};font-size:16px;line-height:22px;font-weight:600;color:#ffffff;text-decoration:none;border-radius:6px">${label}</a>
</td></tr>
</table>
<p class="quiet" style="margin:0 0 16px;${FONT};font-size:14px;line-height:21px;color:#5b616b">${hint}<br><a class="link" href="${url}" style="color:#1a56c4;word-break:break-all">${url}</a></p>`
}
