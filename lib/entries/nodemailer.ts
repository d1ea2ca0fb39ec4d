/**
 * The adapter that sends mails with nodemailer. The application installs nodemailer 7.0.7 or newer.
 *
 * @module fastify-users/nodemailer
 */

export { sendWithNodemailer, type NodemailerMessage, type NodemailerTransporter } from '../mail/nodemailer.js'
