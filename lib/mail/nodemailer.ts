import type { Mail, SendMail } from '../contracts/mail.js'

/** The message that `sendWithNodemailer` passes to nodemailer. */
export interface NodemailerMessage {
  from: string
  to: { name: string; address: string }
  subject: string
  text: string
  html: string
  headers: Record<string, string>
  /** Message parts never come from files or URLs. */
  disableFileAccess: true
  disableUrlAccess: true
}

/** A transporter of nodemailer 7.0.7 or newer: the result of `nodemailer.createTransport()`. */
export interface NodemailerTransporter {
  sendMail(message: NodemailerMessage): Promise<unknown>
}

/**
 * Returns the option `mail.send` for a transporter of nodemailer. The application creates and closes the transporter.
 *
 * @example
 * mail: { send: sendWithNodemailer(nodemailer.createTransport(url)), from: 'Camelot <no-reply@camelot.example>' }
 */
export function sendWithNodemailer (transporter: NodemailerTransporter): SendMail {
  return ({ from, to, subject, text, html, headers }: Mail) =>
    transporter.sendMail({
      from,
      // an object is one e-mail, while text is parsed as a list of e-mails (CVE-2025-13033)
      to: { name: '', address: to },
      subject,
      text,
      html,
      headers,
      disableFileAccess: true,
      disableUrlAccess: true
    })
}
