/**
 * The texts of the mails in English and German, and functions for templates of an application.
 *
 * @module fastify-users/mail
 */

export { english } from '../mail/languages/en.js'
export { german } from '../mail/languages/de.js'
export { escapeHtml } from '../mail/plain-text.js'
